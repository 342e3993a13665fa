import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { LoginService } from '#dmz/login/login-service.ts';
import { Authentication } from '#dmz/sftp/authenticate.ts';
import { messagesBeforeSuccessMax, serviceRequestsMax } from '#dmz/sftp/limits.ts';
import { message } from '#dmz/sftp/transport/messages.ts';
import { MalformedMessage } from '#dmz/sftp/wire.ts';
import { buildLog } from '#shared/log.ts';

const serviceRequest = Buffer.concat([
  Buffer.from([message.serviceRequest, 0, 0, 0, 12]),
  Buffer.from('ssh-userauth'),
]);

function start() {
  const sent: Buffer[] = [];
  const farewells: string[] = [];
  const authentication = new Authentication({
    peer: {
      send: (payload) => void sent.push(payload),
      disconnect: (_reason, text) => void farewells.push(text),
      sessionId: randomBytes(32),
      isDead: false,
    },
    banner: undefined,
    clock: { now: () => 0, monotonic: () => 0 },
    onAdmitted: () => undefined,
    login: {} as LoginService,
    admission: { awaitCode: () => true, authenticated: () => undefined },
    client: () => ({ ip: '203.0.113.9', port: 50_000, agent: 'test client' }),
    listener: 'sftp',
    publicUrl: 'https://files.example.com',
    log: buildLog('silent', {}),
    onForged: () => undefined,
  });
  return { sent, farewells, ask: () => authentication.onMessage(message.serviceRequest, serviceRequest) };
}

describe('S-09: before anybody is in, a client', () => {
  it('asks for the service so often, and is then told that there is none', () => {
    const { sent, farewells, ask } = start();
    for (let time = 0; time < serviceRequestsMax; time += 1) ask();
    expect([sent.length, farewells]).toEqual([serviceRequestsMax, []]);
    ask();
    expect([sent.length, farewells]).toEqual([serviceRequestsMax, ['No such service']]);
  });

  it('sends so many messages, of whatever kind, and one more is a breach', () => {
    const { ask } = start();
    for (let time = 0; time < messagesBeforeSuccessMax; time += 1) ask();
    expect(ask).toThrow(MalformedMessage);
  });
});
