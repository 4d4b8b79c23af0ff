import type { Cast, Frame } from "@/features/terminal/player/cast";

export interface Stage {
  reset: (columns: number, rows: number) => void;
  resize: (columns: number, rows: number) => void;
  write: (output: string) => void;
}

export interface Playing {
  playing: boolean;
  speed: number;
}

export const SPEEDS: readonly number[] = [1, 2, 4, 8];

// Plays a recording on a stage. Times are seconds of playback.
export class CastPlayer {
  readonly #cast: Cast;
  readonly #stage: Stage;
  readonly #onChange: (state: Playing) => void;
  #next = 0; // index of the next frame to show
  #at = 0; // position when playback last started or stopped
  #startedAt: number | null = null; // ms, performance.now(); null while paused
  #speed = 1;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(cast: Cast, stage: Stage, onChange: (state: Playing) => void) {
    this.#cast = cast;
    this.#stage = stage;
    this.#onChange = onChange;
    stage.reset(cast.columns, cast.rows);
    this.#show(0);
  }

  get position(): number {
    if (this.#startedAt === null) return this.#at;
    const passed = ((performance.now() - this.#startedAt) / 1000) * this.#speed;
    return Math.min(this.#at + passed, this.#cast.duration);
  }

  get playing(): boolean {
    return this.#startedAt !== null;
  }

  play(): void {
    if (this.playing) return;
    // At the end, playback starts again from the beginning.
    if (this.#at >= this.#cast.duration) this.#jump(0);
    this.#startedAt = performance.now();
    this.#changed();
    this.#wait();
  }

  pause(): void {
    if (!this.playing) return;
    this.#stop();
    this.#changed();
  }

  seek(to: number): void {
    const playing = this.playing;
    if (playing) this.#stop();
    this.#jump(Math.min(Math.max(0, to), this.#cast.duration));
    if (playing) this.#startedAt = performance.now();
    this.#changed();
    if (playing) this.#wait();
  }

  setSpeed(speed: number): void {
    this.#at = this.position;
    if (this.playing) this.#startedAt = performance.now();
    this.#speed = speed;
    this.#changed();
    if (this.playing) this.#wait();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#startedAt = null;
  }

  #stop(): void {
    this.#at = this.position;
    this.#startedAt = null;
    clearTimeout(this.#timer);
  }

  #changed(): void {
    this.#onChange({ playing: this.playing, speed: this.#speed });
  }

  #jump(to: number): void {
    if (to < this.#at) {
      this.#stage.reset(this.#cast.columns, this.#cast.rows);
      this.#next = 0;
    }
    this.#at = to;
    this.#show(to);
  }

  #wait(): void {
    clearTimeout(this.#timer);
    const frame = this.#cast.frames[this.#next];
    const until = frame ? frame.at : this.#cast.duration;
    const delay = Math.max(0, ((until - this.position) / this.#speed) * 1000);
    this.#timer = setTimeout(() => {
      // The clock may be slightly before the time that the timer waited for.
      this.#show(Math.max(this.position, until));
      if (this.#next < this.#cast.frames.length) {
        this.#wait();
        return;
      }
      this.#stop();
      this.#at = this.#cast.duration;
      this.#changed();
    }, delay);
  }

  // Show all frames up to a time. Output between two resizes is written at once.
  #show(to: number): void {
    let output = "";
    for (; this.#next < this.#cast.frames.length; this.#next += 1) {
      const frame = this.#cast.frames[this.#next] as Frame;
      if (frame.at > to) break;
      if ("output" in frame) {
        output += frame.output;
        continue;
      }
      if (output !== "") this.#stage.write(output);
      output = "";
      this.#stage.resize(frame.columns, frame.rows);
    }
    if (output !== "") this.#stage.write(output);
  }
}
