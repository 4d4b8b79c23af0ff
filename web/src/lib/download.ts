// Let the browser save a text as a file.
export function saveTextFile(name: string, text: string): void {
  saveFile(name, new Blob([text], { type: "text/plain;charset=utf-8" }));
}

export function saveFile(name: string, content: Blob): void {
  const address = URL.createObjectURL(content);
  openDownload(address, name);
  URL.revokeObjectURL(address);
}

// Let the browser download an address of this console.
export function openDownload(address: string, name = ""): void {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}
