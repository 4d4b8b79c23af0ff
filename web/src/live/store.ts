import type { Sample, SampleDetail } from "@/api/vps";

export interface LiveServer {
  readonly sample: Sample;
}

// Every sample since the window was opened, oldest first, up to a bound.
export interface SampleWindow {
  readonly samples: readonly Sample[];
  // Only the feed of a single server carries it.
  readonly detail: SampleDetail | null;
}

export interface NetworkRate {
  readonly rx: number; // bytes/s
  readonly tx: number; // bytes/s
}

const WINDOW_LENGTH = 600; // samples

const NO_WINDOW: SampleWindow = { samples: [], detail: null };

type Listener = () => void;

// Holds live samples outside React, because they arrive far more often than React should render.
// Views are notified once a frame, and only about the servers they show.
export class LiveStore {
  readonly #servers = new Map<string, LiveServer>();
  readonly #windows = new Map<string, { samples: Sample[]; detail: SampleDetail | null }>();
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #rateListeners = new Set<Listener>();
  readonly #dirty = new Set<string>();
  readonly #schedule: (flush: () => void) => void;
  #scheduled = false;
  #networkRate: NetworkRate = { rx: 0, tx: 0 };

  constructor(schedule: (flush: () => void) => void) {
    this.#schedule = schedule;
  }

  // Older samples are ignored. The same sample may come again with details.
  add(sample: Sample): void {
    const { vps_id: id, time } = sample;
    const known = this.#servers.get(id);
    const isRepeated = known?.sample.time === time;
    if (known && (known.sample.time > time || (isRepeated && !sample.detail))) return;
    this.#servers.set(id, { sample });
    this.#collect(sample);
    this.#announce(id);
  }

  #collect(sample: Sample): void {
    const window = this.#windows.get(sample.vps_id);
    if (!window) return;
    const { samples } = window;
    if (samples.at(-1)?.time === sample.time) samples.pop();
    samples.push(sample);
    if (samples.length > WINDOW_LENGTH) samples.shift();
    window.detail = sample.detail ?? window.detail;
  }

  // Start to collect every sample of a server; an earlier window of it is emptied.
  openWindow(id: string): void {
    this.#windows.set(id, { samples: [], detail: null });
  }

  closeWindow(id: string): void {
    this.#windows.delete(id);
  }

  window(id: string): SampleWindow {
    return this.#windows.get(id) ?? NO_WINDOW;
  }

  forget(id: string): void {
    if (this.#servers.delete(id)) this.#announce(id);
  }

  clear(): void {
    for (const id of [...this.#servers.keys()]) this.forget(id);
  }

  get(id: string): LiveServer | undefined {
    return this.#servers.get(id);
  }

  subscribe(id: string, listener: Listener): () => void {
    const listeners = this.#listeners.get(id) ?? new Set();
    this.#listeners.set(id, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#listeners.delete(id);
    };
  }

  readonly subscribeNetworkRate = (listener: Listener): (() => void) => {
    this.#rateListeners.add(listener);
    return () => this.#rateListeners.delete(listener);
  };

  readonly networkRate = (): NetworkRate => this.#networkRate;

  // Sum the rates of the given servers. Others are left out: a server that went offline keeps its
  // last sample.
  sumNetworkRate(ids: Iterable<string>): void {
    let rx = 0;
    let tx = 0;
    for (const id of ids) {
      const sample = this.#servers.get(id)?.sample;
      rx += sample?.net_rx ?? 0;
      tx += sample?.net_tx ?? 0;
    }
    if (rx === this.#networkRate.rx && tx === this.#networkRate.tx) return;
    this.#networkRate = { rx, tx };
    for (const listener of this.#rateListeners) listener();
  }

  #announce(id: string): void {
    this.#dirty.add(id);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#schedule(() => {
      this.#scheduled = false;
      const dirty = [...this.#dirty];
      this.#dirty.clear();
      for (const changed of dirty) {
        for (const listener of this.#listeners.get(changed) ?? []) listener();
      }
    });
  }
}

export const liveStore = new LiveStore((flush) => requestAnimationFrame(flush));
