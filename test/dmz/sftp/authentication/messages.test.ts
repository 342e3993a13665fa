import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  infoRequest,
  readAnswers,
  readAuthenticationRequest,
  readServiceRequest,
} from '#dmz/sftp/authentication/messages.ts';
import { isSignatureRight } from '#dmz/sftp/authentication/signature.ts';
import { message } from '#dmz/sftp/transport/messages.ts';
import { MalformedMessage, WireWriter } from '#dmz/sftp/wire.ts';
import { newUserKey } from '../fakes/user-key.ts';

const sessionId = createHash('sha256').update('first key exchange').digest();
const extra = Buffer.of(0);

const head = (method: string, service = 'ssh-connection'): WireWriter =>
  new WireWriter().byte(message.userauthRequest).string('ivan').string(service).string(method);
const read = (payload: Buffer) => readAuthenticationRequest(payload, sessionId);

const key = newUserKey();
const { unsigned, signed, signature } = key.login('ivan', sessionId);

const payloads = {
  none: head('none').finish(),
  password: head('password').boolean(false).string('correct horse').finish(),
  'password change': head('password').boolean(true).string('correct horse').string('battery').finish(),
  probe: head('publickey').boolean(false).string('ssh-ed25519').string(key.blob).finish(),
  publickey: new WireWriter().raw(unsigned).string(signature).finish(),
  'keyboard-interactive': head('keyboard-interactive').string('').string('pam').finish(),
} as const;

describe('an authentication request', () => {
  it.each([
    ['none', { method: 'none' }],
    ['password change', { method: 'other' }],
    ['probe', { method: 'probe', algorithm: 'ssh-ed25519', key: key.blob }],
    ['publickey', { method: 'publickey', algorithm: 'ssh-ed25519', key: key.blob, signed, signature }],
    ['keyboard-interactive', { method: 'keyboard-interactive' }],
  ] as const)('%s is read as what it is', (name, request) => {
    expect(read(payloads[name])).toEqual({ user: 'ivan', ...request });
  });

  it('a password is read, and kept as a secret', () => {
    const request = read(payloads.password);
    expect(request.method === 'password' && request.password.expose()).toBe('correct horse');
  });

  it('of a method we do not have is known as such, whatever follows', () => {
    expect(read(head('hostbased').raw(extra).finish())).toEqual({ user: 'ivan', method: 'other' });
  });

  it('for another service than the connection is malformed', () => {
    expect(() => read(head('none', 'ssh-userauth').finish())).toThrow(MalformedMessage);
  });

  it.each(Object.entries(payloads))(
    '%s with an octet too much, or one too few, is malformed',
    (_name, payload) => {
      expect(() => read(Buffer.concat([payload, extra]))).toThrow(MalformedMessage);
      expect(() => read(payload.subarray(0, -1))).toThrow(MalformedMessage);
    },
  );
});

describe('the answers to a prompt', () => {
  const answers = (...given: string[]): Buffer => {
    const writer = new WireWriter().byte(message.userauthInfoResponse).uint32(given.length);
    for (const answer of given) writer.string(answer);
    return writer.finish();
  };

  it.each([[[]], [['123456']]])('%j: none or one', (given) => {
    expect(readAnswers(answers(...given)).map((answer) => answer.expose())).toEqual(given);
  });

  it('two are malformed, as nothing asks for two', () => {
    expect(() => readAnswers(answers('123456', '654321'))).toThrow(MalformedMessage);
  });

  it('end where they say so', () => {
    expect(() => readAnswers(Buffer.concat([answers('123456'), extra]))).toThrow(MalformedMessage);
  });
});

it('a service request ends with its name', () => {
  const request = new WireWriter().byte(message.serviceRequest).string('ssh-userauth').finish();
  expect(readServiceRequest(request)).toBe('ssh-userauth');
  expect(() => readServiceRequest(Buffer.concat([request, extra]))).toThrow(MalformedMessage);
});

it('a question carries its instruction, and each prompt with whether it echoes', () => {
  expect(
    infoRequest('Look.', [
      { text: 'Password: ', echo: false },
      { text: 'Code: ', echo: true },
    ]),
  ).toEqual(
    new WireWriter()
      .byte(message.userauthInfoRequest)
      .string('')
      .string('Look.')
      .string('')
      .uint32(2)
      .string('Password: ')
      .boolean(false)
      .string('Code: ')
      .boolean(true)
      .finish(),
  );
});

describe('a signature that travels to main', () => {
  const proof = { algorithm: 'ssh-ed25519', key: key.blob, signed, signature };

  it('is right', () => {
    expect(isSignatureRight(proof)).toBe(true);
  });

  it.each([
    ['by another key than the one it names', { key: newUserKey().blob }],
    ['by another algorithm than it announced', { algorithm: 'rsa-sha2-256' }],
    ['over other octets', { signed: Buffer.concat([Buffer.alloc(4), signed]) }],
    ['of another connection', { signed: new WireWriter().string(Buffer.alloc(32)).raw(unsigned).finish() }],
    ['that is no signature', { signature: Buffer.from('nonsense') }],
  ])('is not one %s', (_what, difference) => {
    expect(isSignatureRight({ ...proof, ...difference })).toBe(false);
  });
});
