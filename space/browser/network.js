// A checkpoint's graph in onnxruntime-web: on the graphics card where the browser gives one, else on the processor.

export class Network {
  // `device` is "webgpu" or "wasm"; one that is not given is chosen.
  static async load(folder, { device }) {
    const [graph, weights, text] = await Promise.all(
      ["model.onnx", "model.safetensors", "config.json"].map((name) => fetchBytes(new URL(name, folder))),
    );
    const config = JSON.parse(new TextDecoder().decode(text));
    config.stems = config.residual ? [...config.sources, config.residual] : config.sources;
    const start = (ort, device) => Network.start(ort, config, graph, weights, device);
    const card = device === "wasm" ? null : await navigator.gpu?.requestAdapter();
    if (device === "webgpu" && !card) throw new Error("This browser gives no graphics card to pages (WebGPU).");
    const isReal = card && !(card.info?.isFallbackAdapter ?? card.isFallbackAdapter);
    if (isReal || device === "webgpu") {
      try {
        return await start(await import("onnxruntime-web/webgpu"), "webgpu");
      } catch (error) {
        if (device === "webgpu") throw error;
        console.warn("WebGPU does not work, WebAssembly is taken instead.", error);
      }
    }
    return start(await import("onnxruntime-web/wasm"), "wasm");
  }

  static async start(ort, config, graph, weights, device) {
    ort.env.logLevel = "error";
    ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
    const session = await ort.InferenceSession.create(graph, {
      executionProviders: [device],
      externalData: [{ path: "model.safetensors", data: weights }],
      logSeverityLevel: 3,
    });
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

async function fetchBytes(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The network's file ${url.pathname} is missing on this page's host.`);
  return new Uint8Array(await response.arrayBuffer());
}
