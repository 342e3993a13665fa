import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rightPassword } from '#test/dmz/https/fake-inside.ts';
import { Door } from '#test/dmz/https/door.ts';
import { RawClient } from '#test/dmz/sftp/fakes/raw-client.ts';
import { startTestServer, type TestServer } from '#test/dmz/sftp/fakes/test-server.ts';
import { runOpenSshSftp } from '#test/harness/clients/openssh-sftp.ts';
import { addressOf } from '#test/harness/waiting-login.ts';

/** As many as may be silent at a door, and their sources. */
const silentMax = 256;
/** Nobody of the flood. */
const person = '127.200.0.1';

let https: Door;
let sftp: TestServer;
let flood: Socket[];

async function open(options: Parameters<typeof Door.open>[0] = {}): Promise<void> {
  https = await Door.open(options);
  sftp = await startTestServer(
    { frank: { password: 'correct horse', next: 'admit' } },
    {
      guard: https.inside.guard,
      ...(options.proxiesFrom !== undefined && { proxiesFrom: options.proxiesFrom }),
    },
  );
}

beforeEach(() => {
  flood = [];
});
afterEach(async () => {
  for (const socket of flood) socket.destroy();
  await sftp.close();
  await https.close();
});

/** From as many sources, each saying this; in the order in which they arrive. */
async function connectMany(
  port: number,
  count: number,
  said: (number: number) => string | Buffer = () => '',
): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let number = 0; number < count; number += 1) {
    const socket = connect({ host: '127.0.0.1', port, localAddress: addressOf(number) });
    socket.on('error', () => undefined);
    socket.resume();
    await once(socket, 'connect');
    socket.write(said(number));
    sockets.push(socket);
  }
  flood.push(...sockets);
  return sockets;
}

const stillThere = (sockets: readonly Socket[]) => sockets.filter((socket) => !socket.closed).length;

async function signInOverHttps(from = person): Promise<unknown> {
  const login = { username: 'frank', password: rightPassword };
  return (await https.client(from).post('/api/login', login)).json['state'];
}

async function signInOverSftp(): Promise<string> {
  const [type, blob] = sftp.hostKeyLine.split(' ');
  const target = {
    host: '127.0.0.1',
    port: sftp.port,
    hostKey: `${type} ${blob}`,
    user: 'frank',
    password: 'correct horse',
  };
  const { status, stderr } = await runOpenSshSftp(target, ['pwd'], ['-o', `BindAddress=${person}`]);
  return status === 0 ? 'signed-in' : stderr;
}

describe('a door that others fill', () => {
  it('200 silent sources on each: another source signs in while all of them are still there', async () => {
    await open();
    const silent = [...(await connectMany(sftp.port, 200)), ...(await connectMany(https.port, 200))];
    expect(await signInOverHttps()).toBe('signed-in');
    expect(await signInOverSftp()).toBe('signed-in');
    expect(stillThere(silent)).toBe(400);
  });

  it('more silent sources than may be silent: the oldest are gone, the others and a newcomer are not', async () => {
    await open();
    for (const [port, signIn] of [
      [sftp.port, signInOverSftp],
      [https.port, () => signInOverHttps()],
    ] as const) {
      const silent = await connectMany(port, silentMax + 20);
      await expect.poll(() => stillThere(silent)).toBe(silentMax);
      expect(stillThere(silent.slice(0, 20))).toBe(0);
      expect(await signIn()).toBe('signed-in');
    }
  });

  it('clients that say hello and nothing more, on each door, push out each other', async () => {
    await open();
    const ssh = await connectMany(sftp.port, silentMax + 20, () => 'SSH-2.0-slow\r\n');
    const tls = await connectMany(https.port, silentMax + 20, () => Buffer.from([0x16, 3, 1]));
    await expect.poll(() => [stillThere(ssh), stillThere(tls)]).toEqual([silentMax, silentMax]);
    expect(await signInOverSftp()).toBe('signed-in');
    expect(await signInOverHttps()).toBe('signed-in');
  });

  it('clients that exchange keys and then wait push out each other, and neither a session nor a known source', async () => {
    const share = { silent: 64, hello: 64, secured: 8, code: 8 };
    await open({ inside: { limits: { stageMax: { https: share, sftp: share } } } });
    const signedIn = await RawClient.connect({ port: sftp.port });
    await signedIn.startAuthentication();
    signedIn.password('frank', 'correct horse');
    expect((await signedIn.next())?.type).toBe(52);
    expect(await signInOverHttps('127.201.0.1')).toBe('signed-in');
    // A known source that has not signed in this time, as a browser that shows the sign-in page.
    const known = await secured('127.201.0.1');
    const all: Socket[] = [];
    const raw: Socket[] = [];
    for (let number = 0; number < 20; number += 1) {
      all.push(await secured(addressOf(number)));
      const one = await RawClient.connect({ port: sftp.port, from: addressOf(number) });
      await one.startAuthentication();
      raw.push(one.socket);
    }
    await expect.poll(() => [stillThere(all), stillThere(raw)]).toEqual([8, 8]);
    flood.push(...raw);
    expect([known.closed, signedIn.isClosed]).toEqual([false, false]);
    expect(await signInOverHttps()).toBe('signed-in');
    expect(await signInOverSftp()).toBe('signed-in');
  });

  async function secured(from: string): Promise<Socket> {
    const socket = connectTls({
      socket: connect({ host: '127.0.0.1', port: https.port, localAddress: from }),
      servername: 'localhost',
      ca: https.ca,
    });
    socket.on('error', () => undefined);
    socket.resume();
    await once(socket, 'secureConnect');
    flood.push(socket);
    return socket;
  }

  it('behind a balancer the sources are the clients it names: one network of them shuts out no other', async () => {
    await open({ proxiesFrom: ['127.0.0.0/8'] });
    const header = (ip: string) => `PROXY TCP4 ${ip} 10.0.0.1 4000 22\r\n`;
    const neighbours = await connectMany(sftp.port, 32, (number) => header(`192.0.2.${number}`));
    const stranger = connect({ host: '127.0.0.1', port: sftp.port });
    flood.push(stranger);
    stranger.write(header('198.51.100.1'));
    const [greeting] = await once(stranger, 'data');
    expect(String(greeting)).toContain('SSH-2.0-Sallyport');
    expect(stillThere(neighbours)).toBe(32);
    const neighbour = connect({ host: '127.0.0.1', port: sftp.port });
    flood.push(neighbour);
    neighbour.write(header('192.0.2.200'));
    await once(neighbour, 'data');
    await expect.poll(() => stillThere(neighbours)).toBe(31);
  });
});
