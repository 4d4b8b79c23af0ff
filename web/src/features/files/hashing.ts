export interface Hashing {
  sha256: Promise<string>; // hexadecimal
  stop: () => void;
}

export type HashAnswer = { sha256: string } | { fault: string };

// The file could not be read to its end: it was changed, moved or deleted meanwhile.
export class UnreadableError extends Error {
  override readonly name = "UnreadableError";
}

// In a thread of its own, so that the page stays quick. The browser's own digest wants the whole
// file in memory, and an address that starts with https.
export function hashFile(file: Blob): Hashing {
  const worker = new Worker(new URL("./hash-worker.ts", import.meta.url), { type: "module" });
  const sha256 = new Promise<string>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<HashAnswer>) => {
      worker.terminate();
      if ("sha256" in data) resolve(data.sha256);
      else reject(new UnreadableError(data.fault));
    };
    worker.onerror = () => {
      worker.terminate();
      reject(new UnreadableError("the checksum could not be computed"));
    };
  });
  // Whoever waits for it is told; that nobody does yet is no fault.
  sha256.catch(() => undefined);
  worker.postMessage(file);
  return { sha256, stop: () => worker.terminate() };
}
