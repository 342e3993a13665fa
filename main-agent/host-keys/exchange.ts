import { createHash } from 'node:crypto';
import { sshServerVersion, type SshExchange } from '#shared/link/messages.ts';
import { malformed, wireString } from '#shared/ssh-key/wire.ts';

/**
 * The hash of an SSH key exchange (RFC 4253 §8, RFC 5656 §4, draft-ietf-sshm-mlkem-hybrid-kex), made from what is hashed.
 * A hash that a node had made could be that of anything: of the session of another server, in which a user signs in with
 * the same key. Made here, it has our host key and our version line in it, and nothing a node says changes that.
 *
 * Trust: a node's word, and within it a stranger's bytes, which are hashed and not read.
 */

interface Method {
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  /** Octets of each share. */
  readonly client: number;
  readonly server: number;
  /** Of the shared secret at most, as it is hashed. */
  readonly secret: number;
}

const methods: Readonly<Record<SshExchange['method'], Method>> = {
  'mlkem768x25519-sha256': { hash: 'sha256', client: 1184 + 32, server: 1088 + 32, secret: 32 },
  'curve25519-sha256': { hash: 'sha256', client: 32, server: 32, secret: 33 },
  'curve25519-sha256@libssh.org': { hash: 'sha256', client: 32, server: 32, secret: 33 },
  'ecdh-sha2-nistp256': { hash: 'sha256', client: 65, server: 65, secret: 33 },
  'ecdh-sha2-nistp384': { hash: 'sha384', client: 97, server: 97, secret: 49 },
  'ecdh-sha2-nistp521': { hash: 'sha512', client: 133, server: 133, secret: 67 },
};

/** SSH_MSG_KEXINIT */
const kexInit = 20;

/** Throws `bad-request` for what is no exchange of this server's. */
export function hashExchange(exchange: SshExchange): Buffer {
  const method = methods[exchange.method];
  const octets = (text: string): Buffer => Buffer.from(text, 'base64url');
  const clientVersion = octets(exchange.clientVersion);
  const serverVersion = octets(exchange.serverVersion);
  const clientKexInit = octets(exchange.clientKexInit);
  const serverKexInit = octets(exchange.serverKexInit);
  const clientShare = octets(exchange.clientShare);
  const serverShare = octets(exchange.serverShare);
  const secret = octets(exchange.secret);
  if (!/^SSH-(2\.0|1\.99)-/.test(clientVersion.toString('latin1'))) throw malformed('no version of SSH 2');
  if (serverVersion.toString('latin1') !== sshServerVersion) throw malformed('not our version line');
  if (clientKexInit[0] !== kexInit || serverKexInit[0] !== kexInit) throw malformed('no KEXINIT');
  if (clientShare.length !== method.client || serverShare.length !== method.server)
    throw malformed(`shares that ${exchange.method} does not have`);
  if (secret.length === 0 || secret.length > method.secret) throw malformed('a secret of another length');
  const hashed = [
    clientVersion,
    serverVersion,
    clientKexInit,
    serverKexInit,
    octets(exchange.hostKey),
    clientShare,
    serverShare,
    secret,
  ];
  return createHash(method.hash)
    .update(Buffer.concat(hashed.map((one) => wireString(one))))
    .digest();
}
