// Has the browser save a text that the page holds.
export function saveText(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  openDownload(address, name);
  URL.revokeObjectURL(address);
}

// Has the browser fetch and save an address of this console.
export function openDownload(address: string, name = ""): void {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}
