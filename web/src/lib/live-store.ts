import type { Sample } from "@/api/vps";

export interface LiveServer {
  readonly sample: Sample;
  // CPU per cent of the last samples, oldest first; null where the collector is off.
  readonly trail: readonly (number | null)[];
  // When the oldest of them was taken.
  readonly since: string;
}

export interface Traffic {
  readonly rx: number; // bytes/s
  readonly tx: number; // bytes/s
}

export const TRAIL_LENGTH = 60; // samples

type Listener = () => void;

// Samples arrive far more often than React should hear of them. They are kept here, outside React,
// and announced once a frame, to the views of the servers they belong to alone.
export class LiveStore {
  readonly #servers = new Map<string, LiveServer>();
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #trafficListeners = new Set<Listener>();
  readonly #dirty = new Set<string>();
  readonly #schedule: (flush: () => void) => void;
  #scheduled = false;
  #traffic: Traffic = { rx: 0, tx: 0 };

  constructor(schedule: (flush: () => void) => void) {
    this.#schedule = schedule;
  }

  add(sample: Sample): void {
    const known = this.#servers.get(sample.vps_id);
    if (known && known.sample.time >= sample.time) return;
    const trail = [...(known?.trail ?? []), sample.cpu_usage ?? null].slice(-TRAIL_LENGTH);
    const since = known?.since ?? sample.time;
    this.#servers.set(sample.vps_id, { sample, trail, since });
    this.#announce(sample.vps_id);
  }

  // Puts what was measured earlier, oldest first, in front of a trail that has just begun.
  seed(id: string, times: readonly string[], values: readonly (number | null)[]): void {
    const known = this.#servers.get(id);
    if (!known) return;
    const earlier = values.filter((_, index) => (times[index] ?? "") < known.since);
    const [since] = times;
    if (earlier.length === 0 || since === undefined) return;
    const trail = [...earlier, ...known.trail].slice(-TRAIL_LENGTH);
    this.#servers.set(id, { ...known, trail, since });
    this.#announce(id);
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

  readonly subscribeTraffic = (listener: Listener): (() => void) => {
    this.#trafficListeners.add(listener);
    return () => this.#trafficListeners.delete(listener);
  };

  readonly traffic = (): Traffic => this.#traffic;

  // Only these count towards the traffic of now: a server that left keeps its last sample.
  sumTraffic(ids: Iterable<string>): void {
    let rx = 0;
    let tx = 0;
    for (const id of ids) {
      const sample = this.#servers.get(id)?.sample;
      rx += sample?.net_rx ?? 0;
      tx += sample?.net_tx ?? 0;
    }
    if (rx === this.#traffic.rx && tx === this.#traffic.tx) return;
    this.#traffic = { rx, tx };
    for (const listener of this.#trafficListeners) listener();
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
