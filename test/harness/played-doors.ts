import { Door } from '#test/dmz/https/door.ts';
import { rightPassword } from '#test/dmz/https/fake-inside.ts';
import { startTestServer, type TestServer } from '#test/dmz/sftp/fakes/test-server.ts';
import { runOpenSshSftp } from './clients/openssh-sftp.ts';

/** Nobody of those who attack. */
const person = '127.200.0.1';

/** Both doors with one guard before a played main, and somebody, frank, who signs in there while others attack. */
export interface PlayedDoors {
  readonly https: Door;
  readonly sftp: TestServer;
  /** Resolves with `signed-in`, or with what is told instead. */
  signInOverHttps(from?: string): Promise<unknown>;
  signInOverSftp(): Promise<string>;
  close(): Promise<void>;
}

export async function openPlayedDoors(options: Parameters<typeof Door.open>[0] = {}): Promise<PlayedDoors> {
  const https = await Door.open(options);
  const sftp = await startTestServer(
    { frank: { password: rightPassword, next: 'admit' } },
    {
      guard: https.inside.guard,
      ...(options.proxiesFrom !== undefined && { proxiesFrom: options.proxiesFrom }),
    },
  );
  return {
    https,
    sftp,
    async signInOverHttps(from = person) {
      const login = { username: 'frank', password: rightPassword };
      return (await https.client(from).post('/api/login', login)).json['state'];
    },
    async signInOverSftp() {
      const [type, blob] = sftp.hostKeyLine.split(' ');
      const target = {
        host: '127.0.0.1',
        port: sftp.port,
        hostKey: `${type} ${blob}`,
        user: 'frank',
        password: rightPassword,
      };
      const { status, stderr } = await runOpenSshSftp(target, ['pwd'], ['-o', `BindAddress=${person}`]);
      return status === 0 ? 'signed-in' : stderr;
    },
    async close() {
      await sftp.close();
      await https.close();
    },
  };
}
