import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { FileClient } from '#dmz/files/file-client.ts';
import type { Admitted, FirstFactorPassed } from '#dmz/login/login-service.ts';
import { Authentication } from '#dmz/sftp/authenticate.ts';
import { methodsAfterFirstFactor, methodsAtStart } from '#dmz/sftp/authentication/machine.ts';
import {
  codePrompt,
  deliveryFailedInstruction,
  lostInstruction,
  passwordPrompt,
  tooManyFailuresText,
  tooManyWaitingText,
  tooSlowText,
  unreachableText,
} from '#dmz/sftp/authentication/prompts.ts';
import {
  authenticationDeadlineMaxMs,
  firstFactorMs,
  messagesBeforeSuccessMax,
  serviceRequestsMax,
  triesMax,
} from '#dmz/sftp/limits.ts';
import { disconnectReason, firstConnectionMessage, message } from '#dmz/sftp/transport/messages.ts';
import { MalformedMessage, WireReader, WireWriter } from '#dmz/sftp/wire.ts';
import { SallyportError } from '#shared/error.ts';
import { buildLog } from '#shared/log.ts';
import { buildFakeLogin, type FakeUser } from '../fakes/fake-login.ts';
import { newUserKey } from '../fakes/user-key.ts';

const agentKey = newUserKey();
const users: Record<string, FakeUser> = {
  nora: { password: 'correct horse', next: 'admit', notice: 'The service closes at noon.' },
  ivan: { password: 'correct horse', key: agentKey.blob, next: 'code', code: '123456', expiresInMs: 120_000 },
  newcomer: { password: 'correct horse', next: 'instruct' },
  'e-mail': {
    password: 'correct horse',
    next: 'code',
    failsWith: new SallyportError('delivery-failed', 'Not sent'),
  },
  crowd: {
    password: 'correct horse',
    next: 'admit',
    failsWith: new SallyportError('busy', 'Too many logins', { data: { retryAfterMs: 4000 } }),
  },
};

/** A payload that we sent, in words. */
function inWords(payload: Buffer): string {
  const reader = new WireReader(payload, 1);
  const text = (): string => reader.text(1000);
  const type: number = payload.readUInt8(0);
  switch (type) {
    case message.serviceAccept:
      return `accept ${text()}`;
    case message.userauthFailure:
      return `failure ${text()}${reader.boolean() ? ' partial' : ''}`;
    case message.userauthSuccess:
      return 'success';
    case message.userauthBanner:
      return `banner ${text()}`;
    case message.userauthInfoRequest: {
      const algorithm = text();
      if (algorithm !== '') return `wanted ${algorithm} ${reader.string(1000).equals(agentKey.blob)}`;
      const instruction = text();
      text();
      const prompts = Array.from(
        { length: reader.uint32() },
        () => `${text()}${reader.boolean() ? 'shown' : 'hidden'}`,
      );
      return ['ask', instruction, ...prompts].filter((part) => part !== '').join(' | ');
    }
    default:
      return `message ${type}`;
  }
}

const refused = `failure ${methodsAtStart.join(',')}`;
const goOn = `failure ${methodsAfterFirstFactor.join(',')} partial`;
const askPassword = `ask | ${passwordPrompt.text}hidden`;
const askCode = (instruction: string): string => `ask | ${instruction} | ${codePrompt.text}shown`;
const askAppCode = askCode('Enter the code from your authenticator app. A recovery code is accepted too.');

/** A played connection: what the client sends on one side, what it and main are told on the other. */
function start({
  banner,
  hasRoom = true,
  change = (passed) => passed,
}: {
  readonly banner?: string;
  /** For one more login that waits for a code. */
  readonly hasRoom?: boolean;
  /** How this main differs. */
  readonly change?: (passed: FirstFactorPassed) => FirstFactorPassed | Promise<FirstFactorPassed>;
} = {}) {
  const sent: string[] = [];
  const farewells: [number, string][] = [];
  const admitted: string[] = [];
  const login = buildFakeLogin(users, () => ({}) as FileClient);
  const clock = { ms: 0 };
  const peer = {
    send: (payload: Buffer) => void sent.push(inWords(payload)),
    disconnect: (reason: number, text: string) => void farewells.push([reason, text]),
    sessionId: randomBytes(32),
    isDead: false,
  };
  let gone: AbortSignal | undefined;
  let forged = 0;
  const authentication = new Authentication({
    peer,
    banner,
    clock: { now: () => 0, monotonic: () => clock.ms },
    onAdmitted: ({ view }) => void admitted.push(`in: ${view.username}`),
    login: {
      ...login,
      begin: async (attempt) => {
        ({ gone } = attempt);
        return change(await login.begin(attempt));
      },
    },
    admission: { awaitCode: () => hasRoom, authenticated: () => void admitted.push('out of the way') },
    client: () => ({ ip: '203.0.113.9', port: 50_000, agent: 'test client' }),
    listener: 'sftp',
    publicUrl: 'https://files.example.com',
    log: buildLog('silent', {}),
    onForged: () => void (forged += 1),
  });
  const write = (type: number, fill: (writer: WireWriter) => WireWriter): void =>
    authentication.onMessage(type, fill(new WireWriter().byte(type)).finish());
  const request = (method: string, user: string, fill = (writer: WireWriter) => writer): void =>
    write(message.userauthRequest, (writer) =>
      fill(writer.string(user).string('ssh-connection').string(method)),
    );
  return {
    sent,
    farewells,
    admitted,
    login,
    clock,
    peer,
    authentication,
    isGone: () => gone?.aborted,
    forged: () => forged,
    /** What was sent since this was asked last, once all that is decided by now has been told. */
    told: async (): Promise<string[]> => {
      await nextTurn();
      return sent.splice(0);
    },
    ask: (service = 'ssh-userauth') => write(message.serviceRequest, (writer) => writer.string(service)),
    none: (user = 'ivan') => request('none', user),
    password: (user = 'ivan', password = 'correct horse') =>
      request('password', user, (writer) => writer.boolean(false).string(password)),
    key: (signature?: Buffer) =>
      request('publickey', 'ivan', (writer) => {
        writer
          .boolean(signature !== undefined)
          .string('ssh-ed25519')
          .string(agentKey.blob);
        return signature === undefined ? writer : writer.string(signature);
      }),
    interactive: (user = 'ivan') =>
      request('keyboard-interactive', user, (writer) => writer.string('').string('')),
    answer: (...answers: string[]) =>
      write(message.userauthInfoResponse, (writer) => {
        writer.uint32(answers.length);
        for (const answer of answers) writer.string(answer);
        return writer;
      }),
    sweepAt: (ms: number): [number, string][] => {
      clock.ms = ms;
      authentication.sweep();
      return farewells;
    },
  };
}

/** A played connection whose service is accepted. */
async function begin(...options: Parameters<typeof start>) {
  const door = start(...options);
  door.ask();
  await door.told();
  return door;
}

/** The code prompt is out. */
async function beginAtCode(...options: Parameters<typeof start>) {
  const door = await begin(...options);
  door.password();
  await door.told();
  door.interactive();
  await door.told();
  return door;
}

const tooSlow = [[disconnectReason.byApplication, tooSlowText]];

describe('S-09: before anybody is in, a client', () => {
  it('asks for the service so often, and is then told that there is none', () => {
    const { sent, farewells, ask } = start();
    for (let time = 0; time < serviceRequestsMax; time += 1) ask();
    expect([sent.length, farewells]).toEqual([serviceRequestsMax, []]);
    ask();
    expect([sent.length, farewells]).toEqual([
      serviceRequestsMax,
      [[disconnectReason.serviceNotAvailable, 'No such service']],
    ]);
  });

  it('asks for another service, and is told that there is none', () => {
    const { sent, farewells, ask } = start();
    ask('ssh-connection');
    expect([sent, farewells]).toEqual([[], [[disconnectReason.serviceNotAvailable, 'No such service']]]);
  });

  it('sends so many messages, of whatever kind, and one more is a breach', () => {
    const { ask } = start();
    for (let time = 0; time < messagesBeforeSuccessMax; time += 1) ask();
    expect(ask).toThrow(MalformedMessage);
  });

  it('S-01: sends nothing that is of the connection, nor what only a server sends', () => {
    const { authentication } = start();
    for (const type of [firstConnectionMessage, message.channelOpen, message.userauthSuccess])
      expect(() => authentication.onMessage(type, Buffer.of(type))).toThrow(MalformedMessage);
  });

  it('S-01: asks for the service before it asks to be let in', () => {
    const { none, login } = start();
    expect(() => none()).toThrow(MalformedMessage);
    expect(login.calls).toEqual([]);
  });

  it('S-01: stays with one user name', async () => {
    const { none, password, told, login } = await begin();
    none('ivan');
    none('ivan');
    expect(await told()).toEqual([refused, refused]);
    expect(() => password('nora')).toThrow(MalformedMessage);
    expect(login.calls).toEqual([]);
  });

  it('reads the banner once, if there is one, however often it asks for the service', () => {
    for (const [banner, words] of [
      ['Authorised use only', ['banner Authorised use only\n']],
      ['', []],
      [undefined, []],
    ] as const) {
      const { sent, ask } = start(banner === undefined ? {} : { banner });
      ask();
      ask();
      expect(sent).toEqual(['accept ssh-userauth', ...words, 'accept ssh-userauth']);
    }
  });
});

describe('a login over SSH', () => {
  it('with a password alone: what main has to say comes before success, and the session is handed over', async () => {
    const { password, told, admitted } = await begin();
    password('nora');
    expect(await told()).toEqual(['banner The service closes at noon.\n', 'success']);
    expect(admitted).toEqual(['out of the way', 'in: nora']);
  });

  it('with a password and a code: a wrong code is asked for again, and no notice is made up', async () => {
    const { password, interactive, answer, told, admitted } = await begin();
    password();
    expect(await told()).toEqual([goOn]);
    interactive();
    expect(await told()).toEqual([askAppCode]);
    answer('654321');
    expect(await told()).toEqual([askAppCode.replace('Enter', 'That code is wrong. 4 tries left.\nEnter')]);
    expect(admitted).toEqual([]);
    answer('123456');
    expect(await told()).toEqual(['success']);
    expect(admitted).toEqual(['out of the way', 'in: ivan']);
  });

  it('in one exchange: the password prompt, then the code', async () => {
    const { interactive, answer, told } = await begin();
    interactive();
    expect(await told()).toEqual([askPassword]);
    answer('correct horse');
    expect(await told()).toEqual([askAppCode]);
    answer('123456');
    expect(await told()).toEqual(['success']);
  });

  it('says of a key that it is wanted, and lets main see no signature that the key did not make', async () => {
    const { key, told, login, forged } = await begin();
    key();
    expect(await told()).toEqual(['wanted ssh-ed25519 true']);
    key(new WireWriter().string('ssh-ed25519').string(randomBytes(64)).finish());
    expect(await told()).toEqual([refused]);
    expect([login.calls, forged()]).toEqual([['probe ivan'], 1]);
  });

  it('with a key goes on with a code, as after a password', async () => {
    const { key, peer, told, login, forged } = await begin();
    key(agentKey.login('ivan', peer.sessionId).signature);
    expect(await told()).toEqual([goOn]);
    expect([login.calls, forged()]).toEqual([['begin ivan publickey'], 0]);
  });

  it('a wrong password is refused, and after so many the connection ends', async () => {
    const { password, told, farewells } = await begin();
    for (let time = 1; time < triesMax; time += 1) {
      password('ivan', 'wrong');
      expect(await told()).toEqual([refused]);
    }
    password('ivan', 'wrong');
    expect(await told()).toEqual([]);
    expect(farewells).toEqual([[disconnectReason.noMoreAuthMethods, tooManyFailuresText]]);
  });

  it.each([
    ['must set up a second factor on the web first', 'newcomer', true, /https:\/\/files\.example\.com/],
    ['cannot be sent a code', 'e-mail', true, deliveryFailedInstruction],
    ['has too many logins that wait for a code', 'ivan', false, tooManyWaitingText],
  ] as const)('whoever %s reads so, and is refused', async (_what, user, hasRoom, text) => {
    const { interactive, answer, told } = await begin({ hasRoom });
    interactive(user);
    answer('correct horse');
    await nextTurn();
    const [password, notice, ...more] = await told();
    expect([password, more]).toEqual([askPassword, []]);
    expect(notice).toMatch(text);
    answer();
    expect(await told()).toEqual([refused]);
  });

  it('ends with a word when main is away, and with main’s own when there is no room', async () => {
    const away = await begin();
    away.login.down = true;
    const crowd = await begin();
    crowd.password('crowd');
    expect([await crowd.told(), crowd.farewells]).toEqual([
      [],
      [[disconnectReason.tooManyConnections, 'Too many logins (in 4 s)']],
    ]);
    away.password();
    expect([await away.told(), away.farewells]).toEqual([
      [],
      [[disconnectReason.serviceNotAvailable, unreachableText]],
    ]);
  });

  it('whose decision does not fit what was asked ends', async () => {
    const { answer, told, farewells } = await beginAtCode({
      change: (passed) => ({
        ...passed,
        answer: () => Promise.reject(new SallyportError('delivery-failed', 'Not sent')),
      }),
    });
    answer('123456');
    expect([await told(), farewells]).toEqual([[], [[disconnectReason.protocolError, 'Protocol error']]]);
  });

  it('S-01: messages out of order are a breach, and nothing comes of what was being decided', async () => {
    const { password, none, told, admitted, login } = await begin();
    password('nora');
    expect(() => none('nora')).toThrow(MalformedMessage);
    expect(await told()).toEqual([]);
    expect(admitted).toEqual([]);
    expect(login.calls).toEqual(['begin nora password', 'cancel nora']);
  });
});

describe('the time a login may take', () => {
  it('is so long for the first factor, and not longer for whoever gave a wrong one', async () => {
    const { password, told, sweepAt } = await begin();
    expect(sweepAt(firstFactorMs - 1)).toEqual([]);
    password('ivan', 'wrong');
    await told();
    expect(sweepAt(firstFactorMs)).toEqual(tooSlow);
  });

  it('is as long as main waits for the code, from the first factor on; a wrong code adds nothing', async () => {
    const { clock, password, interactive, answer, told, sweepAt } = await begin();
    clock.ms = 20_000;
    password();
    await told();
    interactive();
    clock.ms = 100_000;
    answer('654321');
    await told();
    expect(sweepAt(139_999)).toEqual([]);
    expect(sweepAt(140_000)).toEqual(tooSlow);
  });

  it.each([
    ['no longer than the longest delivered code lives', 3_600_000, authenticationDeadlineMaxMs],
    ['never shorter than for the first factor', 1000, firstFactorMs],
  ])('is %s', async (_how, expiresInMs, ms) => {
    const { sweepAt } = await beginAtCode({
      change: (passed) => ({ ...passed, view: { ...passed.view, expiresInMs } }),
    });
    expect(sweepAt(ms - 1)).toEqual([]);
    expect(sweepAt(ms)).toEqual(tooSlow);
  });

  it('begins anew for a login that main lost', async () => {
    const { clock, interactive, answer, told, sweepAt } = await begin({
      change: (passed) => ({
        ...passed,
        answer: () => Promise.reject(new SallyportError('challenge-gone', 'Gone')),
      }),
    });
    interactive();
    answer('correct horse');
    expect(await told()).toEqual([askPassword, askAppCode]);
    clock.ms = 110_000;
    answer('123456');
    expect(await told()).toEqual([`ask | ${lostInstruction} | ${passwordPrompt.text}hidden`]);
    expect(sweepAt(110_000 + firstFactorMs - 1)).toEqual([]);
    expect(sweepAt(110_000 + firstFactorMs)).toEqual(tooSlow);
  });

  it('is as long as the proof may take, for whoever sets up inside the login', async () => {
    const { clock, answer, told, sweepAt } = await beginAtCode({
      change: (passed) => ({
        ...passed,
        answer: async () =>
          ({
            outcome: 'admitted',
            view: { state: 'setup-required' },
            enrolment: {
              start: async () => ({ secret: 'ABCDEFGH' }),
              confirm: async () => ({ proveWithinMs: 300_000 }),
            },
            end: async () => undefined,
          }) as unknown as Admitted,
      }),
    });
    clock.ms = 110_000;
    answer('123456');
    const [question] = await told();
    expect(question).toMatch(/ABCD EFGH\n.* within 300 s\.[^]*\| Verification code: shown$/);
    expect(sweepAt(409_999)).toEqual([]);
    expect(sweepAt(410_000)).toEqual(tooSlow);
  });
});

describe('a client that leaves', () => {
  it('while a code is asked for: main may forget the challenge, once', async () => {
    const { authentication, login, told } = await beginAtCode();
    authentication.close();
    authentication.close();
    await told();
    expect(login.calls).toEqual(['begin ivan password', 'cancel ivan']);
  });

  it('while its password is being looked at: nobody waits for the answer, and what comes is forgotten', async () => {
    const { password, authentication, isGone, login, told, farewells } = await begin();
    password();
    expect(isGone()).toBe(false);
    authentication.close();
    expect([isGone(), login.calls]).toEqual([true, ['begin ivan password']]);
    expect(await told()).toEqual([]);
    expect([login.calls, farewells]).toEqual([['begin ivan password', 'cancel ivan'], []]);
  });

  it('after a breach, or too late, while its password is being looked at: nobody waits for that answer either', async () => {
    for (const end of [
      ({ none }: ReturnType<typeof start>) => expect(() => none()).toThrow(MalformedMessage),
      ({ sweepAt }: ReturnType<typeof start>) => void sweepAt(firstFactorMs),
    ]) {
      const door = await begin();
      door.password();
      end(door);
      door.authentication.close();
      expect(door.isGone()).toBe(true);
    }
  });

  it('S-01: while its session opens: the session ends, and is nobody’s', async () => {
    for (const leave of [
      ({ authentication }: ReturnType<typeof start>) => authentication.close(),
      ({ peer }: ReturnType<typeof start>) => (peer.isDead = true),
      ({ none, authentication }: ReturnType<typeof start>) => {
        expect(() => none()).toThrow(MalformedMessage);
        authentication.close();
      },
    ]) {
      const door = await beginAtCode();
      door.answer('123456');
      leave(door);
      expect([await door.told(), door.admitted]).toEqual([[], []]);
      expect(door.login.calls.slice(-2)).toEqual(['admitted ivan totp', 'end ivan']);
    }
  });

  it('once it is in leaves its session to whoever it was handed to', async () => {
    const { password, authentication, login, told } = await begin();
    password('nora');
    await told();
    authentication.close();
    await told();
    expect(login.calls).toEqual(['begin nora password', 'admitted nora none']);
  });
});
