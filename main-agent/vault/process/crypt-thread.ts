/** The other side of `ForeignTags`: what JavaScript computes, for up to seconds, where nobody else waits for it. */
import { encodeBase64, hashSync } from 'bcryptjs';
import { parentPort } from 'node:worker_threads';
import { shaCrypt } from './sha-crypt.ts';

export interface CryptRequest {
  readonly kind: 'bcrypt' | 'sha256-crypt' | 'sha512-crypt';
  readonly rounds: number;
  readonly salt: Uint8Array;
  readonly password: Uint8Array;
}

/** The text of the tag. */
export type CryptReply = string;

function compute({ kind, rounds, salt, password }: CryptRequest): CryptReply {
  if (kind !== 'bcrypt')
    return shaCrypt(kind === 'sha256-crypt' ? 'sha256' : 'sha512', {
      password: Buffer.from(password),
      salt: Buffer.from(salt),
      rounds,
    });
  const cost = String(rounds).padStart(2, '0');
  return hashSync(Buffer.from(password).toString('utf8'), `$2b$${cost}$${encodeBase64([...salt], 16)}`).slice(
    29,
  );
}

const port = parentPort;
port?.on('message', (request: CryptRequest) => port.postMessage(compute(request)));
