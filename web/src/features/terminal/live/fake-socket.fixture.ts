export class FakeWebSocket {
  static opened: FakeWebSocket[] = [];
  readonly sent: unknown[] = [];
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;

  constructor() {
    FakeWebSocket.opened.push(this);
  }

  send(data: string | Uint8Array): void {
    this.sent.push(typeof data === "string" ? JSON.parse(data) : new Uint8Array(data));
  }

  close(): void {
    this.onclose?.();
  }

  say(frame: unknown): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  output(bytes: number): void {
    this.onmessage?.({ data: new ArrayBuffer(bytes) });
  }
}
