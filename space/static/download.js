// Saves the file that the server has made. `element`, `props` and `watch` are given by Gradio.

watch("value", () => {
  if (!props.value || !props.value.file) return;
  const link = element.querySelector("a");
  link.href = props.value.file.url;
  link.download = props.value.name;
  link.click();
});
