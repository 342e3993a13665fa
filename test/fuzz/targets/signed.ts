import { generateKeyPairSync } from 'node:crypto';
import { CompactSign } from 'jose';
import { claimsSchema } from '#shared/assertion/claims.ts';
import { verifyAssertion } from '#shared/assertion/verify.ts';
import { isSallyportError } from '#shared/error.ts';
import { generateIdentityKey, parseIdentityKey } from '#shared/identity/identity-key.ts';
import {
  formatMainLine,
  formatNodeLine,
  parseMainLine,
  parseNodeLine,
} from '#shared/pairing/pairing-line.ts';
import { formatRotationLine, parseRotationLine } from '#shared/pairing/rotation-line.ts';
import { parsePublicKeyLine } from '#shared/ssh-key/parse.ts';
import { isUserauthSignature, parseUserauthRequest } from '#shared/ssh-key/verify.ts';
import { WireWriter } from '#dmz/sftp/wire.ts';
import type { ErrorCode } from '#shared/error-codes.ts';
import { buildRandom } from '#test/harness/random.ts';
import { newUserKey } from '#test/dmz/sftp/fakes/user-key.ts';
import { sampleOf } from '#test/fuzz/samples.ts';
import type { Outcome, Sample, Target } from '#test/fuzz/target.ts';

/** What carries a signature or a key: assertions, SSH proofs and keys, lines of a pairing. */

/** Taken, or refused with that code alone. */
async function judgeBy(code: ErrorCode, kinds: readonly string[], read: () => unknown): Promise<Outcome> {
  try {
    await read();
    return { taken: kinds, isRefused: false };
  } catch (error) {
    if (!isSallyportError(error, code)) throw error;
    return { taken: [], isRefused: true };
  }
}

const kid = 'node-key';
const nowMs = Date.UTC(2026, 10, 30);

/** By the node's real key: whoever owns the node signs what they like. */
export async function buildAssertions(): Promise<Target> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const header = { typ: 'sallyport-login+jwt', alg: 'EdDSA', kid };
  const sign = (payload: Uint8Array): Promise<string> =>
    new CompactSign(payload).setProtectedHeader(header).sign(privateKey);
  const claims = Array.from({ length: 8 }, (_, seed) =>
    Buffer.from(
      JSON.stringify({
        ...(sampleOf(claimsSchema, buildRandom(seed + 1)) as object),
        iss: 'dmz1',
        aud: 'main1',
        iat: nowMs / 1000,
        exp: nowMs / 1000 + 30,
      }),
    ),
  );
  const part = (value: Uint8Array): string => Buffer.from(value).toString('base64url');
  const jws = await Promise.all(claims.map(sign));
  const corpus = jws.flatMap((text, index): Sample[] => [
    { kinds: ['jws'], bytes: Buffer.from(text) },
    {
      kinds: ['claims'],
      bytes: claims[index] ?? Buffer.alloc(0),
      // jose signs no empty octets.
      seal: async (changed) => Buffer.from(changed.length === 0 ? '..' : await sign(changed)),
    },
    {
      kinds: ['header'],
      bytes: Buffer.from(JSON.stringify(header)),
      seal: (changed) => Buffer.from([part(changed), ...text.split('.').slice(1)].join('.')),
    },
  ]);
  return {
    name: 'assertion',
    kinds: ['jws', 'claims', 'header'],
    corpus,
    run: (input, { kinds }) =>
      judgeBy('refused', kinds, async () => {
        const told = await verifyAssertion(input.toString('latin1'), {
          audience: 'main1',
          node: 'dmz1',
          findKey: (name) => (name === kid ? { node: 'dmz1', publicKey, status: 'active' } : undefined),
          nowMs,
        });
        if (!claimsSchema.safeParse(told).success) throw new Error('claims of another shape');
      }),
  };
}

/** Keys as users give them, and their proofs as a node passes them on. */
export function buildSshKeys(): Target {
  const kinds = ['ed25519 line', 'rsa line', 'ecdsa line', 'signed request', 'signature'];
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
  const rsa = generateKeyPairSync('rsa', { modulusLength: 3072 }).publicKey.export({ format: 'jwk' });
  const key = newUserKey();
  const raw = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64url');
  const line = (type: string, blob: Buffer): Buffer =>
    Buffer.from(`${type} ${blob.toString('base64')} alice@laptop`);
  const { signed, signature } = key.login('alice', Buffer.alloc(32, 1));
  const point = Buffer.concat([Buffer.from([4]), raw(ec.x), raw(ec.y)]);
  const corpus: Sample[] = [
    { kinds: ['ed25519 line'], bytes: line('ssh-ed25519', key.blob) },
    {
      kinds: ['rsa line'],
      bytes: line(
        'ssh-rsa',
        new WireWriter()
          .string('ssh-rsa')
          .string(raw(rsa.e))
          .string(Buffer.concat([Buffer.alloc(1), raw(rsa.n)]))
          .finish(),
      ),
    },
    {
      kinds: ['ecdsa line'],
      bytes: line(
        'ecdsa-sha2-nistp256',
        new WireWriter().string('ecdsa-sha2-nistp256').string('nistp256').string(point).finish(),
      ),
    },
    { kinds: ['signed request'], bytes: signed },
    { kinds: ['signature'], bytes: signature },
  ];
  // A changed blob in base64 that is right again.
  const sealed = corpus.slice(0, 3).map((sample): Sample => {
    const [type = '', base64 = ''] = sample.bytes.toString().split(' ');
    return { ...sample, bytes: Buffer.from(base64, 'base64'), seal: (changed) => line(type, changed) };
  });
  return {
    name: 'ssh-keys',
    kinds,
    corpus: [...corpus, ...sealed],
    run: (input, sample) =>
      judgeBy('bad-request', sample.kinds, () => {
        if (sample.kinds[0] === 'signed request') {
          if (isUserauthSignature(parseUserauthRequest(input), signature) && !input.equals(signed))
            throw new Error('the signature is over other octets, too');
        } else if (sample.kinds[0] === 'signature') {
          const isRight = isUserauthSignature(parseUserauthRequest(signed), input);
          if (isRight !== input.equals(signature)) throw new Error(`${isRight} of another signature`);
        } else parsePublicKeyLine(input.toString('utf8'));
      }),
  };
}

export function buildPairingLines(): Target {
  const keys = { identity: `SHA256:${'A'.repeat(43)}`, signing_key: 'B'.repeat(43) };
  const node = formatNodeLine({
    name: 'dmz1',
    address: '10.0.1.5:8444',
    ...keys,
    host_key: `SHA256:${'C'.repeat(43)}`,
  });
  const main = formatMainLine({ name: 'main1', identity: keys.identity });
  const old = parseIdentityKey(generateIdentityKey().privateKeyPem);
  const rotation = formatRotationLine({ name: 'dmz1', ...keys }, old);
  const corpus: Sample[] = [
    { kinds: ['node'], bytes: Buffer.from(node) },
    { kinds: ['main'], bytes: Buffer.from(main) },
    { kinds: ['rotation'], bytes: Buffer.from(rotation) },
  ];
  return {
    name: 'pairing-lines',
    kinds: ['node', 'main', 'rotation'],
    corpus,
    run: (input, { kinds }) =>
      judgeBy('pairing', kinds, () => {
        const text = input.toString('utf8');
        if (kinds[0] === 'node') parseNodeLine(text);
        else if (kinds[0] === 'main') parseMainLine(text);
        else {
          const { name, identity } = parseRotationLine(text);
          if (name !== 'dmz1' || identity !== keys.identity)
            throw new Error('the signature is over another line, too');
        }
      }),
  };
}
