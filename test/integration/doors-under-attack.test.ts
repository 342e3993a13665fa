import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rightPassword } from '#test/dmz/https/fake-inside.ts';
import { RawClient } from '#test/dmz/sftp/fakes/raw-client.ts';
import { openPlayedDoors, type PlayedDoors } from '#test/harness/played-doors.ts';
import { addressOf } from '#test/harness/waiting-login.ts';

/** As many as may be silent at a door, and their sources. */
const silentMax = 256;

let doors: PlayedDoors;
let flood: Socket[];

beforeEach(() => {
  flood = [];
});
afterEach(async () => {
  for (const socket of flood) socket.destroy();
  await doors.close();
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

describe('a door that others fill', () => {
  it('200 silent sources on each: another source signs in while all of them are still there', async () => {
    doors = await openPlayedDoors();
    const silent = [
      ...(await connectMany(doors.sftp.port, 200)),
      ...(await connectMany(doors.https.port, 200)),
    ];
    expect(await doors.signInOverHttps()).toBe('signed-in');
    expect(await doors.signInOverSftp()).toBe('signed-in');
    expect(stillThere(silent)).toBe(400);
  });

  it('more silent sources than may be silent: the oldest are gone, the others and a newcomer are not', async () => {
    doors = await openPlayedDoors();
    for (const [port, signIn] of [
      [doors.sftp.port, () => doors.signInOverSftp()],
      [doors.https.port, () => doors.signInOverHttps()],
    ] as const) {
      const silent = await connectMany(port, silentMax + 20);
      await expect.poll(() => stillThere(silent)).toBe(silentMax);
      expect(stillThere(silent.slice(0, 20))).toBe(0);
      expect(await signIn()).toBe('signed-in');
    }
  });

  it('clients that say hello and nothing more, on each door, push out each other', async () => {
    doors = await openPlayedDoors();
    const ssh = await connectMany(doors.sftp.port, silentMax + 20, () => 'SSH-2.0-slow\r\n');
    const tls = await connectMany(doors.https.port, silentMax + 20, () => Buffer.from([0x16, 3, 1]));
    await expect.poll(() => [stillThere(ssh), stillThere(tls)]).toEqual([silentMax, silentMax]);
    expect(await doors.signInOverSftp()).toBe('signed-in');
    expect(await doors.signInOverHttps()).toBe('signed-in');
  });

  it('clients that exchange keys and then wait push out each other, and neither a session nor a known source', async () => {
    const share = { silent: 64, hello: 64, secured: 8, code: 8 };
    doors = await openPlayedDoors({ inside: { limits: { stageMax: { https: share, sftp: share } } } });
    const signedIn = await RawClient.connect({ port: doors.sftp.port });
    await signedIn.startAuthentication();
    signedIn.password('frank', rightPassword);
    expect((await signedIn.next())?.type).toBe(52);
    expect(await doors.signInOverHttps('127.201.0.1')).toBe('signed-in');
    // A known source that has not signed in this time, as a browser that shows the sign-in page.
    const known = await secured('127.201.0.1');
    const all: Socket[] = [];
    const raw: Socket[] = [];
    for (let number = 0; number < 20; number += 1) {
      all.push(await secured(addressOf(number)));
      const one = await RawClient.connect({ port: doors.sftp.port, from: addressOf(number) });
      await one.startAuthentication();
      raw.push(one.socket);
    }
    await expect.poll(() => [stillThere(all), stillThere(raw)]).toEqual([8, 8]);
    flood.push(...raw);
    expect([known.closed, signedIn.isClosed]).toEqual([false, false]);
    expect(await doors.signInOverHttps()).toBe('signed-in');
    expect(await doors.signInOverSftp()).toBe('signed-in');
  });

  async function secured(from: string): Promise<Socket> {
    const socket = connectTls({
      socket: connect({ host: '127.0.0.1', port: doors.https.port, localAddress: from }),
      servername: 'localhost',
      ca: doors.https.ca,
    });
    socket.on('error', () => undefined);
    socket.resume();
    await once(socket, 'secureConnect');
    flood.push(socket);
    return socket;
  }

  it('behind a balancer the sources are the clients it names: one network of them shuts out no other', async () => {
    doors = await openPlayedDoors({ proxiesFrom: ['127.0.0.0/8'] });
    const header = (ip: string) => `PROXY TCP4 ${ip} 10.0.0.1 4000 22\r\n`;
    const neighbours = await connectMany(doors.sftp.port, 32, (number) => header(`192.0.2.${number}`));
    const stranger = connect({ host: '127.0.0.1', port: doors.sftp.port });
    flood.push(stranger);
    stranger.write(header('198.51.100.1'));
    const [greeting] = await once(stranger, 'data');
    expect(String(greeting)).toContain('SSH-2.0-Sallyport');
    expect(stillThere(neighbours)).toBe(32);
    const neighbour = connect({ host: '127.0.0.1', port: doors.sftp.port });
    flood.push(neighbour);
    neighbour.write(header('192.0.2.200'));
    await once(neighbour, 'data');
    await expect.poll(() => stillThere(neighbours)).toBe(31);
  });
});
