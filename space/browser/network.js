// The exported network in onnxruntime-web: on the graphics card where the browser gives one, else on the processor.

export class Network {
  // `device` is "webgpu" or "wasm", `precision` "fp16" or "fp32"; what is not given is chosen.
  static async load(folder, { device, precision }) {
    const response = await fetch(new URL("onnx/separation.json", folder));
    if (!response.ok) throw new Error("The network is missing on this page's host: see how the page is built.");
    const config = await response.json();
    if (config.format_version !== 1) {
      throw new Error(`The network's format is ${config.format_version} and this page reads 1: build the page anew.`);
    }
    const card = device === "wasm" ? null : await navigator.gpu?.requestAdapter();
    if (device === "webgpu" && !card) throw new Error("This browser gives no graphics card to pages (WebGPU).");
    const isReal = card && !(card.info?.isFallbackAdapter ?? card.isFallbackAdapter);
    if (isReal || device === "webgpu") {
      try {
        // A card computes in half precision what a processor does not, with an error that differs from card to card.
        const half = precision === "fp16";
        return await Network.start(await import("onnxruntime-web/webgpu"), config, folder, "webgpu", half);
      } catch (error) {
        if (device === "webgpu") throw error;
        console.warn("WebGPU does not work, WebAssembly is taken instead.", error);
      }
    }
    return Network.start(await import("onnxruntime-web/wasm"), config, folder, "wasm", precision !== "fp32");
  }

  static async start(ort, config, folder, device, half) {
    ort.env.logLevel = "error";
    ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
    const url = new URL(`onnx/${half ? "model_fp16" : "model"}.onnx`, folder);
    const response = await fetch(url);
    if (!response.ok) throw new Error(`The network's file ${url.pathname} is missing on this page's host.`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const session = await ort.InferenceSession.create(bytes, { executionProviders: [device], logSeverityLevel: 3 });
    return new Network(ort, config, session, device);
  }

  constructor(ort, config, session, device) {
    Object.assign(this, { ort, config, session, device });
    this.threads = device === "wasm" ? ort.env.wasm.numThreads : 0;
    this.shape = [1, config.num_channels, config.n_fft / 2 + 1, config.num_frames];
  }

  // Takes magnitudes (1, channels, bins, frames) and gives masks (1, sources, channels, bins, frames).
  async estimateMasks(magnitude) {
    const input = new this.ort.Tensor("float32", magnitude, this.shape);
    const { masks } = await this.session.run({ magnitude: input });
    return masks.data;
  }
}
