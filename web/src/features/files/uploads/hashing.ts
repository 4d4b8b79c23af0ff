export interface Hashing {
  sha256: Promise<string>; // hexadecimal
  stop: () => void;
}

export type HashAnswer = { sha256: string } | { fault: string };

// The local file could not be read to its end: it was changed, moved or deleted.
export class UnreadableError extends Error {
  override readonly name = "UnreadableError";
}

// Compute the SHA-256 of a file in a worker, so that the page stays responsive. The browser's own
// digest needs the whole file in memory, and an https address.
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
  // Prevents an unhandled rejection. The code that awaits the promise later still gets the error.
  sha256.catch(() => undefined);
  worker.postMessage(file);
  return { sha256, stop: () => worker.terminate() };
}
