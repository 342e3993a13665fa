import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSallyportError } from '#shared/error.ts';
import { FramePool } from '#shared/link/frame-pool.ts';
import { FrameReader } from '#shared/link/frame-reader.ts';
import {
  encodeFrame,
  frameCost,
  frameCostBytesMin,
  frameHeaderBytes,
  frameType,
  payloadRange,
  type FrameType,
} from '#shared/link/frames.ts';

interface Frame {
  readonly type: FrameType;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** Reads bytes in the given pieces; gives back what frames came, and the pool to look at. */
function readAll(pieces: readonly Buffer[]): { frames: Frame[]; pool: FramePool; reader: FrameReader } {
  const pool = new FramePool();
  const frames: Frame[] = [];
  const reader = new FrameReader(pool, {
    onFrame: (type, streamId, payload, frame) => {
      frames.push({ type, streamId, payload: Buffer.from(payload) });
      if (frame !== undefined) pool.release(frame);
    },
  });
  for (const piece of pieces) reader.read(piece, piece.length);
  return { frames, pool, reader };
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.map((place) => place % (bytes.length + 1)), bytes.length].toSorted(
    (a, b) => a - b,
  );
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

const anyFrame = fc
  .constantFrom<FrameType>(frameType.open, frameType.data, frameType.end, frameType.reset, frameType.credit)
  .chain((type) => {
    const [fewest, most] = payloadRange[type] ?? [0, 0];
    return fc.record({
      type: fc.constant(type),
      streamId: fc.integer({ min: 1, max: 0xffff_ffff }),
      payload: fc
        .uint8Array({ minLength: fewest, maxLength: Math.min(most, 9000) })
        .map((bytes) => Buffer.from(bytes)),
    });
  });

describe('the frame reader', () => {
  it('gives back what was written, however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { maxLength: 6 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (frames, places) => {
          const wire = Buffer.concat(
            frames.map(({ type, streamId, payload }) => encodeFrame(type, streamId, payload)),
          );
          const read = readAll(cut(wire, places));
          expect(read.frames).toEqual(frames);
          expect(read.pool.lent).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('answers any bytes with frames within their bounds or a protocol violation, nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (pieces) => {
        let failure: unknown;
        const frames: Frame[] = [];
        try {
          frames.push(...readAll(pieces.map((piece) => Buffer.from(piece))).frames);
        } catch (error) {
          failure = error;
        }
        expect(failure === undefined || isSallyportError(failure, 'protocol-violation')).toBe(true);
        for (const { type, payload } of frames) {
          const [fewest, most] = payloadRange[type] ?? [1, 0];
          expect(payload.length).toBeGreaterThanOrEqual(fewest);
          expect(payload.length).toBeLessThanOrEqual(most);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('S-09: takes each type up to its bound and no further', () => {
    for (const [name, type] of Object.entries(frameType)) {
      const [fewest, most] = payloadRange[type] ?? [0, 0];
      const streamId = type === frameType.join ? 0 : 7;
      const lengths = new Set([fewest, Math.max(fewest, most - 1), most]);
      for (const length of lengths) {
        const { frames } = readAll([encodeFrame(type, streamId, Buffer.alloc(length))]);
        expect(frames, `${name} with ${length}`).toHaveLength(1);
      }
      for (const length of [fewest - 1, most + 1].filter((value) => value >= 0)) {
        expect(
          () => readAll([encodeFrame(type, streamId, Buffer.alloc(length))]),
          `${name} with ${length}`,
        ).toThrow(expect.objectContaining({ code: 'protocol-violation' }));
      }
    }
  });

  it('refuses unknown types, any flag, and a stream number where none belongs or none is', () => {
    const header = (type: number, streamId: number, length: number): Buffer => {
      const bytes = Buffer.alloc(frameHeaderBytes + length);
      bytes.writeUInt32LE(type, 0);
      bytes.writeUInt32LE(streamId, 4);
      bytes.writeUInt32LE(length, 8);
      return bytes;
    };
    for (const bytes of [
      header(0, 1, 0),
      header(7, 1, 0),
      header(0xff, 1, 0),
      header(frameType.data | 0x100, 1, 1),
      header((frameType.data | 0x8000_0000) >>> 0, 1, 1),
      header(frameType.data, 0, 1),
      header(frameType.join, 1, 43),
      header(frameType.data, 1, 0),
    ]) {
      expect(() => readAll([bytes])).toThrow(expect.objectContaining({ code: 'protocol-violation' }));
    }
  });

  it('reads nothing more after a violation of any kind', () => {
    for (const wrong of [Buffer.alloc(12, 0xff), encodeFrame(frameType.credit, 1, Buffer.alloc(9))]) {
      const { reader, frames } = readAll([]);
      expect(() => reader.read(wrong, wrong.length)).toThrow('Bad frame');
      const good = encodeFrame(frameType.end, 1, Buffer.alloc(0));
      reader.read(good, good.length);
      expect(frames).toEqual([]);
    }
  });

  it('reads nothing more once it is closed, not even what is left of the same bytes', () => {
    let count = 0;
    const reader: FrameReader = new FrameReader(new FramePool(), {
      onFrame: () => {
        count += 1;
        reader.close();
      },
    });
    const good = encodeFrame(frameType.end, 1, Buffer.alloc(0));
    for (const bytes of [Buffer.concat([good, good]), good]) reader.read(bytes, bytes.length);
    expect(count).toBe(1);
  });

  it('gives a half-read frame back to the pool when it is closed', () => {
    const { pool, reader } = readAll([
      encodeFrame(frameType.data, 1, Buffer.alloc(60_000)).subarray(0, 30_000),
    ]);
    expect(pool.lent).toBe(1);
    reader.close();
    expect(pool.lent).toBe(0);
  });
});

describe('a payload', () => {
  it('gets a pooled buffer from the bound on, below it one of its size', () => {
    for (const [bytes, lent] of [
      [32_767, 0],
      [32_768, 1],
    ] as const) {
      const { pool } = readAll([encodeFrame(frameType.data, 1, Buffer.alloc(bytes)).subarray(0, 100)]);
      expect(pool.lent).toBe(lent);
    }
  });
});

describe('frames', () => {
  it('S-09: take at least a fixed share of the window, so that tiny pieces are as bounded as large ones', () => {
    expect(frameCost(1)).toBe(frameCostBytesMin);
    expect(frameCost(frameCostBytesMin)).toBe(frameCostBytesMin);
    expect(frameCost(frameCostBytesMin + 1)).toBe(frameCostBytesMin + 1);
  });

  it('can not be handed back to the pool twice', () => {
    const pool = new FramePool();
    const frame = pool.acquire();
    pool.release(frame);
    expect(() => pool.release(frame)).toThrow(/twice/);
  });
});
