import { createHmac, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { CodeMessage, Transport } from '#main-agent/two-factor/code-delivery.ts';
import { DeliveredCodes, maskAddress, type Recipient } from '#main-agent/two-factor/delivered-codes.ts';
import { buildLog } from '#shared/log.ts';
import { Secret } from '#shared/secret.ts';
import { buildMemoryState } from '#test/harness/memory-state.ts';

const recipient: Recipient = {
  username: 'bob',
  email: 'bob@example.com',
  phone: '+15551230042',
  ttlMs: undefined,
  node: 'dmz1',
  protocol: 'https',
  clientIp: '203.0.113.9',
};

function build(accept: (message: CodeMessage) => Promise<void>, transports: readonly Transport[]) {
  const tried: CodeMessage[] = [];
  const codes = new DeliveredCodes({
    settings: { transports, length: 6, charset: 'digits', ttlMs: 300_000 },
    delivery: {
      deliver: (message) => {
        tried.push(message);
        return accept(message);
      },
    },
    state: buildMemoryState(),
    fingerprint: (code, username, id) => fingerprintOf(code, username, id),
    clock: { now: () => 0, monotonic: () => 0 },
    log: buildLog('silent', {}),
    random: randomBytes,
    fallbackMs: 1,
  });
  return { codes, tried };
}

const key = randomBytes(32);
const fingerprintOf = (...parts: readonly [Secret, string, string]): string =>
  createHmac('sha256', key)
    .update(JSON.stringify(parts.map((one) => (one instanceof Secret ? one.expose() : one))))
    .digest('base64url');

describe('delivered codes', () => {
  for (const [name, failing] of [
    ['refuses', () => Promise.reject(new Error('gateway down'))],
    ['does not answer in time', () => new Promise<void>(() => undefined)],
  ] as const) {
    it(`go by the next transport when the first ${name}; the answer says what was accepted`, async () => {
      const { codes, tried } = build(
        (message) => (message.transport === 'sms' ? failing() : Promise.resolve()),
        ['sms', 'email'],
      );
      const view = await codes.request(recipient);
      expect(view).toMatchObject({ method: 'email', hint: 'b…@example.com' });
      expect(tried.map((one) => one.transport)).toEqual(['sms', 'email']);
      expect(tried[0]?.code.expose()).toBe(tried[1]?.code.expose());
    });
  }

  it('only by transports the user has an address for', async () => {
    const { codes, tried } = build(() => Promise.resolve(), ['sms', 'email']);
    await codes.request({ ...recipient, phone: undefined });
    expect(tried.map((one) => one.transport)).toEqual(['email']);
    expect(codes.transportsFor({ email: undefined, phone: undefined })).toEqual([]);
  });

  it('fail when no transport accepted, for everybody who joined', async () => {
    const { codes } = build(() => Promise.reject(new Error('down')), ['sms', 'email']);
    const results = await Promise.allSettled([codes.request(recipient), codes.request(recipient)]);
    expect(results.map((one) => one.status)).toEqual(['rejected', 'rejected']);
    expect(codes.match(recipient, new Secret('000000'))).toEqual({ kind: 'wrong' });
  });

  it('tell where to look without telling the address', () => {
    expect(maskAddress('email', 'bob@example.com')).toBe('b…@example.com');
    expect(maskAddress('sms', '+15551230042')).toBe('…42');
  });
});
