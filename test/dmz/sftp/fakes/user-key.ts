import { generateKeyPairSync, sign } from 'node:crypto';
import { message } from '#dmz/sftp/transport/messages.ts';
import { WireWriter } from '#dmz/sftp/wire.ts';

export interface UserKey {
  /** Public key blob. */
  readonly blob: Buffer;
  /** A login with it (RFC 4252 §7): the payload without its last field, the octets signed, and that field. */
  login(user: string, sessionId: Buffer): { unsigned: Buffer; signed: Buffer; signature: Buffer };
}

export function newUserKey(): UserKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  const blob = new WireWriter().string('ssh-ed25519').string(point).finish();
  return {
    blob,
    login: (user, sessionId) => {
      const unsigned = new WireWriter()
        .byte(message.userauthRequest)
        .string(user)
        .string('ssh-connection')
        .string('publickey')
        .boolean(true)
        .string('ssh-ed25519')
        .string(blob)
        .finish();
      const signed = new WireWriter().string(sessionId).raw(unsigned).finish();
      const signature = new WireWriter()
        .string('ssh-ed25519')
        .string(sign(null, signed, privateKey))
        .finish();
      return { unsigned, signed, signature };
    },
  };
}
