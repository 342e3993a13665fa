import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSallyportError, SallyportError } from '#shared/error.ts';
import {
  decodeMessage,
  decodeOpen,
  decodeReset,
  decodeResult,
  decodeTrailer,
  encodeError,
  encodeEvent,
  encodeHeartbeat,
  encodeHello,
  encodeOpen,
  encodeRequest,
  encodeReset,
  encodeResult,
  requireParams,
} from '#shared/link/codec.ts';
import { controlMessageBytesMax, longRequestTimeoutMs, resetBytesMax } from '#shared/link/limits.ts';
import { requestSchemas, type Hello } from '#shared/link/messages.ts';
import { randomId } from '#shared/random-id.ts';

const sides = ['dmz', 'main'] as const;
const violation = expect.objectContaining({ code: 'protocol-violation' });
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

const hello: Hello = {
  versions: [1, 1],
  name: 'dmz1',
  software: 'test',
  boot: randomId(),
  nowMs: 1,
  worker: 0,
  workerPorts: [8444],
  validatedLogins: true,
};
const session = randomId();
const request = {
  kind: 'request',
  id: 1,
  verb: 'fs.stat',
  params: { session, path: ['a'], followLinks: true },
};

/** What it throws, if anything. */
function failureOf(act: () => unknown): unknown {
  try {
    act();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Any JSON, and JSON that looks a little like ours. */
const anyJson = fc.oneof(
  fc.jsonValue(),
  fc.record(
    {
      kind: fc.oneof(
        fc.constantFrom('hello', 'request', 'result', 'error', 'event', 'ping', 'pong', '__proto__'),
        fc.string(),
      ),
      id: fc.oneof(fc.integer(), fc.double(), fc.string()),
      verb: fc.oneof(fc.constantFrom(...Object.keys(requestSchemas), 'constructor', 'toString'), fc.string()),
      name: fc.oneof(fc.constantFrom('policy', 'lane.grant', 'hasOwnProperty'), fc.string()),
      params: fc.jsonValue(),
      result: fc.jsonValue(),
      body: fc.jsonValue(),
      error: fc.jsonValue(),
      hello: fc.jsonValue(),
      nowMs: fc.double(),
    },
    { requiredKeys: [] },
  ),
);

describe('the codec', () => {
  it.each(sides)(
    'S-05: answers any bytes from %s with a message or a protocol violation, nothing else',
    (peer) => {
      const check = (bytes: Buffer): void => {
        const failure = failureOf(() => decodeMessage(bytes, peer));
        expect(failure === undefined || isSallyportError(failure, 'protocol-violation')).toBe(true);
        decodeOpen(bytes);
        decodeTrailer(bytes);
        decodeReset(bytes);
      };
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => check(Buffer.from(bytes))),
        { numRuns: 300 },
      );
      fc.assert(
        fc.property(anyJson, (value) => check(json(value))),
        { numRuns: 500 },
      );
    },
  );

  it('S-05: never takes a changed request for a good one: each key removed, renamed or added is a violation', () => {
    expect(decodeMessage(json(request), 'dmz').kind).toBe('request');
    for (const key of Object.keys(request)) {
      const { [key]: value, ...rest } = request as Record<string, unknown>;
      expect(() => decodeMessage(json(rest), 'dmz')).toThrow(violation);
      expect(() => decodeMessage(json({ ...rest, [`${key}x`]: value }), 'dmz')).toThrow(violation);
    }
    expect(() => decodeMessage(json({ ...request, user: 'root' }), 'dmz')).toThrow(violation);
    const withUser = { ...request, params: { ...request.params, user: 'root' } };
    expect(() => decodeMessage(json(withUser), 'dmz')).toThrow(violation);
  });

  it.each(['toString', '__proto__', 'constructor', 'fs.shell', 'admin.reset', ''])(
    'S-05: knows no verb called "%s"',
    (verb) => {
      expect(() => decodeMessage(json({ ...request, verb }), 'dmz')).toThrow(violation);
    },
  );

  it('S-05: lets each side send only what is its to send', () => {
    const grant = Buffer.from(encodeEvent('lane.grant', { token: randomId() }));
    const ended = Buffer.from(encodeEvent('session.ended', { sessionKey: randomId(), reason: 'x' }));
    expect(decodeMessage(grant, 'dmz').kind).toBe('event');
    expect(() => decodeMessage(grant, 'main')).toThrow(violation);
    expect(decodeMessage(ended, 'main').kind).toBe('event');
    expect(() => decodeMessage(ended, 'dmz')).toThrow(violation);
    expect(() => decodeMessage(json(request), 'main')).toThrow(violation);
    expect(() => decodeMessage(json({ kind: 'result', id: 1, result: {} }), 'dmz')).toThrow(violation);
    expect(() => decodeMessage(Buffer.from(encodeError(1, new SallyportError('busy', 'x'))), 'dmz')).toThrow(
      violation,
    );
  });

  it('S-09: takes a message up to its bound and no further', () => {
    const ofLength = (bytes: number): Buffer => {
      const text = encodeHello(hello);
      return Buffer.from(text.padEnd(bytes, ' '));
    };
    for (const bytes of [controlMessageBytesMax - 1, controlMessageBytesMax])
      expect(decodeMessage(ofLength(bytes), 'dmz').kind).toBe('hello');
    expect(() => decodeMessage(ofLength(controlMessageBytesMax + 1), 'dmz')).toThrow(violation);
  });

  it('does not send an answer that is over the bound, but says so', () => {
    const attributes = { type: 'file', size: 1, mtimeMs: 1, atimeMs: 1, mode: 0o644, links: 1 } as const;
    const entries = Array.from({ length: 1000 }, () => ({ name: '"'.repeat(255), attributes }));
    expect(() => encodeResult(1, 'fs.list', { entries })).toThrow(
      expect.objectContaining({ code: 'too-many' }),
    );
    expect(encodeResult(1, 'fs.list', { entries: entries.slice(0, 700) }).length).toBeGreaterThan(400_000);
  });

  it('S-02: sends nothing a handler returned beyond what the table says', () => {
    const leaky = { acceptable: true, passwordHash: '$argon2id$…' };
    expect(() => encodeResult(1, 'login.probe', leaky)).toThrow(
      expect.objectContaining({ code: 'internal' }),
    );
  });

  it('S-11: an error about a bad value does not show the value', () => {
    const bad = {
      ...request,
      verb: 'login.begin',
      params: { user: 'alice', factor: { type: 'password', password: 42 } },
    };
    const failure = failureOf(() =>
      decodeMessage(json({ ...bad, params: { ...bad.params, secretWord: 'hunter2' } }), 'dmz'),
    );
    expect(isSallyportError(failure, 'protocol-violation')).toBe(true);
    expect(JSON.stringify([String(failure), failure])).not.toContain('hunter2');
  });

  it('S-02: carries of an error its public half alone', () => {
    const error = new SallyportError('quota-exceeded', 'No room', {
      detail: '/srv/secret',
      hint: 'buy a disk',
      reference: 'REF',
      data: { retryAfterMs: 5 },
      cause: new Error('inner'),
    });
    const wire = encodeError(1, error);
    expect(wire).not.toMatch(/secret|disk|inner/);
    const message = decodeMessage(Buffer.from(wire), 'main');
    expect(message).toMatchObject({
      kind: 'error',
      error: {
        code: 'quota-exceeded',
        publicMessage: 'No room',
        reference: 'REF',
        data: { retryAfterMs: 5 },
      },
    });
  });

  it('fits any error into a reset frame', () => {
    const error = new SallyportError('io-error', '\u0001'.repeat(1000), { reference: '"'.repeat(100) });
    const bytes = encodeReset(error);
    expect(bytes.length).toBeLessThanOrEqual(resetBytesMax);
    expect(decodeReset(bytes)?.code).toBe('io-error');
  });

  it("refuses our own caller's bad params before they could cost the link", () => {
    expect(() => requireParams('fs.stat', { session, path: ['a'.repeat(256)], followLinks: true })).toThrow(
      expect.objectContaining({ code: 'bad-request' }),
    );
    expect(encodeRequest(1, 'fs.stat', { session, path: ['a'], followLinks: true }, 1_000)).toContain(
      'fs.stat',
    );
  });

  it('checks a result against the verb that was asked', () => {
    expect(decodeResult('fs.rename', { replaced: true })).toEqual({ replaced: true });
    expect(() => decodeResult('fs.rename', { replaced: 1 })).toThrow(violation);
    expect(() => decodeResult('fs.rename', {})).toThrow(violation);
  });

  it('S-05: takes no event that the table does not know, and a known one in its shape alone', () => {
    const event = { kind: 'event', name: 'lane.grant', body: { token: randomId() } };
    expect(decodeMessage(json(event), 'dmz')).toEqual({
      kind: 'event',
      event: { name: 'lane.grant', body: event.body },
    });
    for (const name of ['toString', 'lane.take', ''])
      expect(() => decodeMessage(json({ ...event, name }), 'dmz')).toThrow(violation);
    expect(() => decodeMessage(json({ ...event, body: { token: 'short' } }), 'dmz')).toThrow(violation);
  });

  it('S-05: takes answers from main, a cancel from the node, and a pulse and a hello from both', () => {
    expect(decodeMessage(json({ kind: 'result', id: 3, result: { a: 1 } }), 'main')).toEqual({
      kind: 'result',
      id: 3,
      result: { a: 1 },
    });
    expect(decodeMessage(json({ kind: 'cancel', id: 3 }), 'dmz')).toEqual({ kind: 'cancel', id: 3 });
    expect(() => decodeMessage(json({ kind: 'cancel', id: 3 }), 'main')).toThrow(violation);
    for (const peer of sides) {
      for (const kind of ['ping', 'pong'] as const)
        expect(decodeMessage(Buffer.from(encodeHeartbeat(kind, 7, 5)), peer)).toEqual({
          kind,
          id: 7,
          nowMs: 5,
        });
      expect(decodeMessage(Buffer.from(encodeHello(hello)), peer)).toEqual({ kind: 'hello', hello });
    }
  });

  it('S-05: takes ids from 1 on, and a patience from 0 to what the longest request may take', () => {
    for (const id of [0, -1, 1.5, Number.MAX_SAFE_INTEGER + 1])
      expect(() => decodeMessage(json({ kind: 'cancel', id }), 'dmz')).toThrow(violation);
    for (const id of [1, Number.MAX_SAFE_INTEGER])
      expect(decodeMessage(json({ kind: 'cancel', id }), 'dmz')).toMatchObject({ id });
    for (const patienceMs of [0, longRequestTimeoutMs, undefined])
      expect(decodeMessage(json({ ...request, patienceMs }), 'dmz')).toMatchObject({ patienceMs });
    for (const patienceMs of [-1, longRequestTimeoutMs + 1])
      expect(() => decodeMessage(json({ ...request, patienceMs }), 'dmz')).toThrow(violation);
  });

  it.each(['x', 'ä', '€'])('S-09: sends a message of "%s" up to the bound and no further', (character) => {
    const empty = Buffer.byteLength(encodeRequest(1, 'fs.stat', '', 1000));
    const ofBytes = (bytes: number): string => {
      const each = Buffer.byteLength(character);
      const left = bytes - empty;
      return encodeRequest(1, 'fs.stat', character.repeat(left / each) + 'y'.repeat(left % each), 1000);
    };
    for (const bytes of [controlMessageBytesMax - 1, controlMessageBytesMax])
      expect(Buffer.byteLength(ofBytes(bytes))).toBe(bytes);
    expect(() => ofBytes(controlMessageBytesMax + 1)).toThrow(expect.objectContaining({ code: 'too-many' }));
  });

  it('carries what a client may be told about an error, each fact or none', () => {
    const facts = {
      retryAfterMs: 5,
      attemptsLeft: 0,
      driftSeconds: -90,
      weakness: 'too-short',
      minimum: 12,
      bait: true,
      throttled: 'name',
      unserved: 3,
    } as const;
    const carried = (error: SallyportError): SallyportError => {
      const message = decodeMessage(Buffer.from(encodeError(1, error)), 'main');
      if (message.kind !== 'error') throw new Error(message.kind);
      return message.error;
    };
    expect(carried(new SallyportError('refused', 'No', { data: facts })).data).toEqual(facts);
    for (const [name, value] of Object.entries(facts)) {
      const { data } = carried(new SallyportError('refused', 'No', { data: { [name]: value } }));
      expect(data).toStrictEqual({ [name]: value });
    }
    const bare = carried(new SallyportError('refused', 'No'));
    expect([bare.data, bare.reference]).toEqual([undefined, undefined]);
  });

  it('cuts what is too long in an error of ours, so that it is no breach', () => {
    const error = new SallyportError('refused', 'm'.repeat(513), { reference: 'r'.repeat(65) });
    expect(decodeReset(encodeReset(error))).toMatchObject({
      publicMessage: 'm'.repeat(512),
      reference: 'r'.repeat(64),
    });
    for (const wire of [
      { code: 'refused', message: 'm'.repeat(513) },
      { code: 'refused', message: '', reference: 'r'.repeat(65) },
      { code: 'constructor', message: '' },
    ])
      expect(decodeReset(json(wire))).toBeUndefined();
  });

  it('sends no event and opens no stream out of shape: that is our own fault, or our caller’s', () => {
    expect(() => encodeEvent('lane.grant', { token: 'short' })).toThrow('our own event lane.grant');
    const header = { kind: 'read', session, handle: 1, offset: 0 } as const;
    expect(decodeOpen(encodeOpen(header))).toEqual(header);
    expect(() => encodeOpen({ ...header, offset: -1 })).toThrow(
      expect.objectContaining({ code: 'bad-request' }),
    );
  });

  it('reads an empty trailer as no facts, and one that is no record as none at all', () => {
    expect(decodeTrailer(Buffer.alloc(0))).toEqual({});
    expect(decodeTrailer(json({ sha256: 'abc' }))).toEqual({ sha256: 'abc' });
    for (const junk of [json(1), json([1]), Buffer.from('{')]) expect(decodeTrailer(junk)).toBeUndefined();
  });

  it('S-11: tells of a bad value where it stands, of three at most', () => {
    const bad = { session, path: ['a'.repeat(256)], followLinks: 'hunter2', a: 1 };
    const failure = failureOf(() => requireParams('fs.stat', bad));
    expect(failure).toMatchObject({
      detail: expect.stringMatching(/^fs\.stat: path\.0: \w+; followLinks: /),
    });
    const many = { ...request, id: 'x', verb: 1, patienceMs: 'x', extra: 1 };
    expect(failureOf(() => decodeMessage(json(many), 'dmz'))).toMatchObject({
      detail: expect.stringMatching(/^[^;]+; [^;]+; [^;]+$/),
    });
  });
});
