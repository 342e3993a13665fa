import { isSallyportError } from '#shared/error.ts';
import {
  decodeMessage,
  decodeResult,
  encodeCancel,
  encodeError,
  encodeHeartbeat,
  encodeOpen,
  encodeReset,
} from '#shared/link/codec.ts';
import { FramePool } from '#shared/link/frame-pool.ts';
import { FrameReader } from '#shared/link/frame-reader.ts';
import { encodeCredit, encodeFrame, frameType } from '#shared/link/frames.ts';
import {
  eventSchemas,
  helloSchema,
  requestSchemas,
  type EventName,
  type Verb,
} from '#shared/link/messages.ts';
import type { LaneSide } from '#shared/link/streams.ts';
import { SallyportError } from '#shared/error.ts';
import { buildRandom } from '#test/harness/random.ts';
import { buildRawPeer, readHeader, settle, writeHeader } from '#test/shared/link/lane-pair.ts';
import { sampleOf } from '#test/fuzz/samples.ts';
import type { Outcome, Sample, Target } from '#test/fuzz/target.ts';

/** The link, from both ends: JSON of the control connection, and frames of a lane. */

/** Of each type so many different ones. */
const samplesEach = 6;

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function samplesOf(kind: string, draw: (random: (below: number) => number) => unknown): Sample[] {
  return Array.from({ length: samplesEach }, (_, seed) => ({
    kinds: [kind],
    bytes: json(draw(buildRandom(seed + 1))),
  }));
}

const verbs = Object.keys(requestSchemas) as Verb[];
const eventNames = Object.keys(eventSchemas) as EventName[];
const hellos = samplesOf('hello', (random) => ({ kind: 'hello', hello: sampleOf(helloSchema, random) }));
const pulses: Sample[] = (['ping', 'pong'] as const).map((kind) => ({
  kinds: [kind],
  bytes: Buffer.from(encodeHeartbeat(kind, 7, 1000)),
}));

function isSentBy(name: EventName, peer: LaneSide): boolean {
  const body = sampleOf(eventSchemas[name], buildRandom(1));
  try {
    decodeMessage(json({ kind: 'event', name, body }), peer);
    return true;
  } catch {
    return false;
  }
}

const eventsOf = (peer: LaneSide): EventName[] => eventNames.filter((name) => isSentBy(name, peer));
const eventSamples = (peer: LaneSide): Sample[] =>
  eventsOf(peer).flatMap((name) =>
    samplesOf(`event ${name}`, (random) => ({
      kind: 'event',
      name,
      body: sampleOf(eventSchemas[name], random),
    })),
  );

/** `judgeResult`: what its asker makes of an answer. */
function runControl(peer: LaneSide, input: Buffer, sample: Sample): Outcome {
  try {
    const message = decodeMessage(input, peer);
    switch (message.kind) {
      case 'request':
        return { taken: [`request ${message.request.verb}`], isRefused: false };
      case 'event':
        return { taken: [`event ${message.event.name}`], isRefused: false };
      case 'result': {
        // Whoever asked knows the verb; an answer that was spliced in comes to whoever asked.
        const verb = verbs.find((one) => sample.kinds[0] === `result ${one}`) ?? 'fs.stat';
        decodeResult(verb, message.result);
        return { taken: [`result ${verb}`], isRefused: false };
      }
      case 'hello':
      case 'cancel':
      case 'error':
      case 'ping':
      case 'pong':
        return { taken: [message.kind], isRefused: false };
    }
  } catch (error) {
    if (!isSallyportError(error, 'protocol-violation')) throw error;
    return { taken: [], isRefused: true };
  }
}

export function buildControlToMain(): Target {
  const requests = verbs.flatMap((verb) =>
    samplesOf(`request ${verb}`, (random) => ({
      kind: 'request',
      id: 1 + random(1000),
      verb,
      params: sampleOf(requestSchemas[verb].params, random),
      ...(random(2) === 0 && { patienceMs: 1000 }),
    })),
  );
  const corpus = [
    ...requests,
    ...eventSamples('dmz'),
    ...hellos,
    ...pulses,
    { kinds: ['cancel'], bytes: Buffer.from(encodeCancel(7)) },
  ];
  return {
    name: 'control-to-main',
    kinds: kindsOf(corpus),
    corpus,
    run: (input, sample) => runControl('dmz', input, sample),
  };
}

export function buildControlToNode(): Target {
  const results = verbs.flatMap((verb) =>
    samplesOf(`result ${verb}`, (random) => ({
      kind: 'result',
      id: 1 + random(1000),
      result: sampleOf(requestSchemas[verb].result, random),
    })),
  );
  const error = new SallyportError('rate-limited', 'Too many', {
    data: { retryAfterMs: 1000 },
    reference: 'AB23CDEF',
  });
  const corpus = [
    ...results,
    ...eventSamples('main'),
    ...hellos,
    ...pulses,
    { kinds: ['error'], bytes: Buffer.from(encodeError(7, error)) },
  ];
  return {
    name: 'control-to-node',
    kinds: kindsOf(corpus),
    corpus,
    run: (input, sample) => runControl('main', input, sample),
  };
}

function kindsOf(corpus: readonly Sample[]): string[] {
  return [...new Set(corpus.flatMap(({ kinds }) => kinds))];
}

const frameNames = Object.entries(frameType);
const nameOf = (type: number): string => frameNames.find(([, one]) => one === type)?.[0] ?? String(type);

function laneStreams(side: LaneSide): Sample[] {
  const { open, data, end, reset } = frameType;
  const frames = {
    read: encodeFrame(open, 1, encodeOpen(readHeader)),
    write: encodeFrame(open, 1, encodeOpen(writeHeader)),
    data: encodeFrame(data, 1, Buffer.alloc(700, 7)),
    large: encodeFrame(data, 1, Buffer.alloc(40_000, 7)),
    end: encodeFrame(end, 1, Buffer.from('{"sha256":"x"}')),
    reset: encodeFrame(reset, 1, encodeReset(new SallyportError('not-found', 'gone'))),
  };
  const of = (kinds: readonly string[], ...some: Buffer[]): Sample => ({ kinds, bytes: Buffer.concat(some) });
  return side === 'main'
    ? [
        of(['open', 'data', 'end'], frames.write, frames.data, frames.large, frames.end),
        of(['open', 'credit'], frames.read, encodeCredit(1, 0, 100)),
        of(['open', 'reset'], frames.read, frames.reset),
        of(['open', 'data', 'reset'], frames.write, frames.data, frames.reset),
      ]
    : [
        of(['data', 'end'], frames.data, frames.large, frames.end),
        of(['reset'], frames.reset),
        of(['credit'], encodeCredit(2, 1000, 1000)),
        of(['data', 'credit'], frames.data, encodeCredit(2, 0, 100)),
        of(['data', 'reset'], frames.data, frames.reset),
      ];
}

/** A lane of that side with a stream, to which its peer says anything. */
function buildLaneTarget(side: LaneSide): Target {
  const corpus = laneStreams(side);
  return {
    name: side === 'main' ? 'lane-to-main' : 'lane-to-node',
    kinds: kindsOf(corpus),
    corpus,
    async run(input) {
      const taken = readFrames(input);
      const peer = await buildRawPeer(side);
      if (side === 'dmz') {
        peer.lane.open(readHeader);
        peer.lane.open(writeHeader).write(Buffer.alloc(1000));
        await settle();
      }
      peer.sendBytes(input);
      await settle();
      const { lane, pool } = peer;
      const isRefused = peer.closing()?.breach === true;
      if (isRefused && lane.streamCount > 0) throw new Error('streams live on after a breach');
      peer.hangUp();
      await settle();
      if (lane.streamCount > 0 || pool.lent > 0)
        throw new Error(`${lane.streamCount} streams and ${pool.lent} buffers are held after the end`);
      return { taken: isRefused ? [] : taken, isRefused };
    },
  };
}

/** Types of the whole frames in it. */
function readFrames(input: Buffer): string[] {
  const types: string[] = [];
  const pool = new FramePool();
  const reader = new FrameReader(pool, {
    onFrame: (type, _stream, _payload, frame) => {
      types.push(nameOf(type));
      if (frame !== undefined) pool.release(frame);
    },
  });
  try {
    reader.read(input, input.length);
  } catch (error) {
    if (!isSallyportError(error, 'protocol-violation')) throw error;
  }
  return types;
}

export const buildLaneToMain = (): Target => buildLaneTarget('main');
export const buildLaneToNode = (): Target => buildLaneTarget('dmz');
