import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { HashAnswer } from "@/features/files/uploads/hashing";

const BLOCK = 4 * 1024 * 1024; // bytes

async function hash(file: Blob): Promise<HashAnswer> {
  try {
    const digest = sha256.create();
    for (let at = 0; at < file.size; at += BLOCK) {
      digest.update(new Uint8Array(await file.slice(at, at + BLOCK).arrayBuffer()));
    }
    return { sha256: bytesToHex(digest.digest()) };
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  }
}

self.onmessage = async ({ data }: MessageEvent<Blob>) => self.postMessage(await hash(data));
