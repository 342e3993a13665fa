import { describe, expect, it } from 'vitest';
import { Channels } from '#dmz/sftp/channels/channels.ts';
import { connectionRequestRate } from '#dmz/sftp/limits.ts';
import { MalformedMessage, WireWriter } from '#dmz/sftp/wire.ts';

/** A connection's channels without a connection, at a time of the test's choosing. */
function start() {
  const sent: number[] = [];
  const refused: string[] = [];
  let sftps = 0;
  let nowMs = 0;
  const channels = new Channels({
    carrier: {
      isWritable: true,
      send: (payload) => void sent.push(payload[0] ?? 0),
      sendFilled: () => undefined,
    },
    onSftp: () => (sftps += 1),
    onRefused: (what) => void refused.push(what),
    prove: async (keys) => keys,
    clock: { now: () => nowMs, monotonic: () => nowMs },
  });
  const receive = (writer: WireWriter) => {
    const payload = writer.finish();
    channels.onMessage(payload[0] ?? 0, payload);
  };
  return {
    sent,
    refused,
    sftps: () => sftps,
    pass: (ms: number) => (nowMs += ms),
    open: (type = 'session') =>
      receive(new WireWriter().byte(90).string(type).uint32(0).uint32(100_000).uint32(32_768)),
    request: (id: number, type: string, text = '') =>
      receive(new WireWriter().byte(98).uint32(id).string(type).boolean(true).string(text).string('x')),
    ask: (name: string) => receive(new WireWriter().byte(80).string(name).boolean(true)),
    close: (id: number) => receive(new WireWriter().byte(97).uint32(id)),
  };
}

describe('a connection that is used for long', () => {
  it('carries 10,000 transfers one after another, each with its locale, in twelve hours or in twenty minutes', () => {
    for (const transferMs of [4320, 120]) {
      const { open, request, close, pass, sftps, refused } = start();
      for (let id = 0; id < 10_000; id++) {
        open();
        for (let variable = 0; variable < 13; variable++) request(id, 'env', `LC_${variable}`);
        request(id, 'subsystem', 'sftp');
        close(id);
        pass(transferMs);
      }
      expect(sftps()).toBe(10_000);
      expect(refused).toEqual([]);
    }
  });

  it('answers keep-alives under every name, twenty a second for as long as it takes, and records none', () => {
    const { ask, pass, sent, refused } = start();
    for (let count = 0; count < 100_000; count++) {
      ask(['keepalive@openssh.com', 'keepalive@lag.net', 'keep-alive@example.com'][count % 3] ?? '');
      pass(50);
    }
    expect(sent).toHaveLength(100_000);
    expect(refused).toEqual([]);
  });

  it('S-09: ends in a storm', () => {
    const { ask, pass } = start();
    const { burst, perSecond } = connectionRequestRate;
    for (let count = 0; count < burst; count++) ask('keepalive@openssh.com');
    expect(() => ask('keepalive@openssh.com')).toThrow(MalformedMessage);
    pass(1000);
    for (let count = 0; count < perSecond; count++) ask('keepalive@openssh.com');
    expect(() => ask('keepalive@openssh.com')).toThrow(MalformedMessage);
  });

  it('what no client of files asks for is recorded once of each kind', () => {
    const { open, request, ask, refused } = start();
    open();
    for (let count = 0; count < 20; count++) {
      request(0, 'env', 'LANG');
      request(0, 'auth-agent-req@openssh.com');
      request(0, 'subsystem', 'netconf');
      request(0, `invented-${count}`);
      open('direct-tcpip');
      open(`invented-${count}`);
      ask('tcpip-forward');
      ask(`invented-${count}`);
      ask('no-more-sessions@openssh.com');
    }
    expect(refused).toEqual([
      'channel request subsystem',
      'channel direct-tcpip',
      'channel of another type',
      'global request tcpip-forward',
    ]);
  });
});
