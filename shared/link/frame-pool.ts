/**
 * Buffers for lane frames, used again and again: a fresh 64 KiB buffer per frame was measured to cost more than the
 * encryption. `allocUnsafeSlow`, so that none is a slice of Node's shared slab.
 *
 * A frame holds old bytes of other streams until it is filled: only `payload` up to the length just written into it
 * may ever be sent or shown.
 */
import { framePayloadBytesMax, type LaneFrame } from './lane-stream.ts';
import { pooledFramesMax } from './limits.ts';
import { frameHeaderBytes } from './frames.ts';

export class PooledFrame implements LaneFrame {
  /** Header headroom, then payload. */
  readonly buffer: Buffer;
  readonly payload: Buffer;
  /** Guards against a frame handed back twice, which would mix two streams' bytes. */
  free = false;

  constructor() {
    this.buffer = Buffer.allocUnsafeSlow(frameHeaderBytes + framePayloadBytesMax);
    this.payload = this.buffer.subarray(frameHeaderBytes);
  }
}

export class FramePool {
  readonly #idle: PooledFrame[] = [];
  #lent = 0;

  /** Frames given out and not yet back; a leak shows here. */
  get lent(): number {
    return this.#lent;
  }

  acquire(): PooledFrame {
    this.#lent += 1;
    const frame = this.#idle.pop() ?? new PooledFrame();
    frame.free = false;
    return frame;
  }

  release(frame: PooledFrame): void {
    if (frame.free) throw new Error('a lane frame was handed back twice');
    frame.free = true;
    this.#lent -= 1;
    if (this.#idle.length < pooledFramesMax) this.#idle.push(frame);
  }
}
