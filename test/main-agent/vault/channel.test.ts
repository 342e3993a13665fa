import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { VaultHandlers } from '#main-agent/vault/calls.ts';
import { serveVault, VaultChannel } from '#main-agent/vault/channel.ts';
import { answerMs, callsMax, frameBytesMax } from '#main-agent/vault/limits.ts';
import { SallyportError } from '#shared/error.ts';

/** Two ends of one pipe: what is written to the one is read from the other, in pieces of any size. */
function pipe(pieceBytes = Infinity): readonly [Duplex, Duplex] {
  const ends: Duplex[] = [];
  const end = (other: () => Duplex | undefined): Duplex =>
    new Duplex({
      read: () => undefined,
      write(octets: Buffer, _encoding, done) {
        for (let at = 0; at < octets.length; at += Math.min(pieceBytes, octets.length))
          other()?.push(octets.subarray(at, at + Math.min(pieceBytes, octets.length)));
        done();
      },
      final(done) {
        other()?.push(null);
        done();
      },
      destroy(error, done) {
        const peer = other();
        if (peer?.destroyed === false) peer.push(null);
        done(error);
      },
    });
  ends.push(
    end(() => ends[1]),
    end(() => ends[0]),
  );
  const [one, other] = ends;
  if (one === undefined || other === undefined) throw new Error('two ends');
  return [one, other];
}

function frame(text: string | Buffer, length?: number): Buffer {
  const body = Buffer.from(text as string);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(length ?? body.length);
  return Buffer.concat([head, body]);
}

const unused = async (): Promise<never> => {
  throw new Error('not asked here');
};

function handlers(own: Partial<VaultHandlers>): VaultHandlers {
  return new Proxy(own, { get: (table, verb) => Reflect.get(table, verb) ?? unused }) as VaultHandlers;
}

const nothingOpened = { samples: [] };

/** Main's end, and what the other end is sent and may say. */
function playProcess() {
  const [mine, theirs] = pipe();
  const broken: string[] = [];
  const channel = new VaultChannel(mine, (why) => broken.push(why));
  const sent: { id: number; verb: string }[] = [];
  theirs.on('data', (octets: Buffer) => {
    sent.push(JSON.parse(octets.subarray(4).toString()) as { id: number; verb: string });
  });
  return {
    channel,
    theirs,
    broken,
    sent,
    say: (message: unknown) => void theirs.write(frame(JSON.stringify(message))),
  };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

afterEach(() => void vi.useRealTimers());

describe('main asks its vault', () => {
  it('and hears each answer, in whatever order and pieces they come', async () => {
    const [mine, theirs] = pipe(3);
    const waiting: (() => void)[] = [];
    serveVault(
      theirs,
      handlers({
        opens: ({ samples }) =>
          new Promise((resolve) => waiting.push(() => resolve({ opened: samples.map(() => true) }))),
        'begin-setup': async () => ({ setup: 's'.repeat(43), secret: 'x' }),
      }),
      () => undefined,
    );
    const channel = new VaultChannel(mine, () => undefined);
    const slow = channel.ask('opens', nothingOpened);
    expect(await channel.ask('begin-setup', { owner: 'alice' })).toEqual({
      setup: 's'.repeat(43),
      secret: 'x',
    });
    waiting[0]?.();
    expect(await slow).toEqual({ opened: [] });
    channel.end();
  });

  it('S-11: an error says its code and what an admin may read; what nobody foresaw says nothing', async () => {
    const [mine, theirs] = pipe();
    serveVault(
      theirs,
      handlers({
        opens: async () => {
          throw new SallyportError('config', 'Damaged', { detail: '31 bytes', hint: 'restore it' });
        },
        'begin-setup': async () => {
          throw new Error('the secret is JBSWY3DP');
        },
      }),
      () => undefined,
    );
    const channel = new VaultChannel(mine, () => undefined);
    await expect(channel.ask('opens', nothingOpened)).rejects.toMatchObject({
      code: 'config',
      publicMessage: 'Damaged',
      detail: '31 bytes',
      hint: 'restore it',
    });
    const error: unknown = await channel
      .ask('begin-setup', { owner: 'alice' })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'internal', detail: 'begin-setup failed' });
    expect(JSON.stringify(error)).not.toContain('JBSWY3DP');
    channel.end();
  });

  it('when its vault goes away, what it had asked was not looked at, and nothing more is', async () => {
    const { channel, theirs, broken } = playProcess();
    const asked = channel.ask('opens', nothingOpened);
    theirs.destroy();
    await expect(asked).rejects.toMatchObject({ code: 'busy', data: { retryAfterMs: 1_000 } });
    await expect(channel.ask('opens', nothingOpened)).rejects.toMatchObject({ code: 'busy' });
    expect(broken).toHaveLength(1);
  });

  it(`${callsMax} calls at once, and no more; of an answer that does not come in time the process is ended`, async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const { channel, broken } = playProcess();
    const asked = Array.from({ length: callsMax }, () => channel.ask('opens', nothingOpened));
    const told = Promise.allSettled(asked);
    await expect(channel.ask('opens', nothingOpened)).rejects.toMatchObject({ code: 'busy' });
    vi.advanceTimersByTime(answerMs);
    expect(broken).toEqual([]);
    vi.advanceTimersByTime(answerMs);
    expect(broken).toEqual(['it does not answer']);
    expect((await told).every(({ status }) => status === 'rejected')).toBe(true);
  });

  it.each([
    ['an answer to nothing', { id: 7, answer: { opened: [] } }],
    ['no id', { answer: { opened: [] } }],
    ['another row’s answer', { id: 1, answer: { steps: [1] } }],
    ['more than its row has', { id: 1, answer: { opened: [], secret: 'x' } }],
    ['an error of no code', { id: 1, error: { code: 'no-such', message: 'x' } }],
    ['an error with more than an error has', { id: 1, error: { code: 'busy', message: 'x', stack: 'y' } }],
    ['both', { id: 1, answer: { opened: [] }, error: { code: 'busy', message: 'x' } }],
    ['no object', 'hello'],
  ])('S-05: a vault that says %s is broken, and what was asked is not answered', async (_what, message) => {
    const { channel, broken, say } = playProcess();
    const asked = channel.ask('opens', nothingOpened);
    say(message);
    await expect(asked).rejects.toMatchObject({ code: 'busy' });
    expect(broken).toEqual([expect.stringContaining('it said what it must not')]);
  });

  it.each([
    ['a length that no message has', frame('', frameBytesMax + 1)],
    ['what is no JSON', frame('{"id":1,')],
    ['what is no UTF-8 of JSON', frame(Buffer.from([0xff, 0xfe]))],
  ])('S-05: so is one that sends %s', async (_what, octets) => {
    const { channel, broken, theirs } = playProcess();
    const asked = channel.ask('opens', nothingOpened);
    theirs.write(octets);
    await expect(asked).rejects.toMatchObject({ code: 'busy' });
    expect(broken).toEqual([expect.stringContaining('it said what it must not')]);
  });
});

describe('the vault is asked', () => {
  function playMain(own: Partial<VaultHandlers> = {}) {
    const [theirs, mine] = pipe();
    let over = 0;
    const heard: unknown[] = [];
    serveVault(mine, handlers(own), () => (over += 1));
    theirs.on('data', (octets: Buffer) => heard.push(JSON.parse(octets.subarray(4).toString())));
    return { theirs, heard, isOver: () => over > 0 };
  }

  it.each([
    ['a verb there is none of', frame(JSON.stringify({ id: 1, verb: 'reveal', request: {} }))],
    ['a verb of every object', frame(JSON.stringify({ id: 1, verb: 'constructor', request: {} }))],
    ['no verb', frame(JSON.stringify({ id: 1, request: {} }))],
    ['an id that is none', frame(JSON.stringify({ id: -1, verb: 'opens', request: nothingOpened }))],
    [
      'more than a call has',
      frame(JSON.stringify({ id: 1, verb: 'opens', request: nothingOpened, as: 'root' })),
    ],
    ['a length that no message has', frame('', frameBytesMax + 1)],
    ['what is no JSON', frame('nonsense')],
  ])('S-05: %s ends it', async (_what, octets) => {
    const { theirs, heard, isOver } = playMain();
    theirs.write(octets);
    await settle();
    expect(isOver()).toBe(true);
    expect(heard).toEqual([]);
  });

  it('for what a row does not have, is not looked at, and it goes on: strangers’ words reach it through main', async () => {
    let looked = 0;
    const { theirs, heard, isOver } = playMain({
      'make-bypass': async () => {
        looked += 1;
        return { code: 'x', id: 'y' };
      },
    });
    for (const request of [{}, { owner: '' }, { owner: 'a'.repeat(257) }, { owner: 'a', more: 1 }, null])
      theirs.write(frame(JSON.stringify({ id: 1, verb: 'make-bypass', request })));
    theirs.write(frame(JSON.stringify({ id: 2, verb: 'make-bypass', request: { owner: 'a'.repeat(256) } })));
    await vi.waitFor(() => expect(heard).toHaveLength(6));
    expect(heard.slice(0, 5)).toEqual(
      Array.from({ length: 5 }, () => ({
        id: 1,
        error: expect.objectContaining({ code: 'bad-request' }) as unknown,
      })),
    );
    expect(heard[5]).toEqual({ id: 2, answer: { code: 'x', id: 'y' } });
    expect([looked, isOver()]).toEqual([1, false]);
  });

  it('more calls at once than main makes end it', async () => {
    const { theirs, isOver } = playMain({ opens: () => new Promise(() => undefined) });
    const call = frame(JSON.stringify({ id: 1, verb: 'opens', request: nothingOpened }));
    theirs.write(Buffer.concat(Array.from({ length: callsMax }, () => call)));
    await settle();
    expect(isOver()).toBe(false);
    theirs.write(call);
    await settle();
    expect(isOver()).toBe(true);
  });

  it('until main is gone', async () => {
    const { theirs, isOver } = playMain();
    theirs.end();
    await once(theirs, 'finish');
    await settle();
    expect(isOver()).toBe(true);
  });
});
