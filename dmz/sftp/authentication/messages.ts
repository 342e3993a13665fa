import {
  authenticationTextBytesMax,
  keyBlobBytesMax,
  signatureBytesMax,
  userNameBytesMax,
} from '#dmz/sftp/limits.ts';
import { message } from '#dmz/sftp/transport/messages.ts';
import { MalformedMessage, WireReader, WireWriter } from '#dmz/sftp/wire.ts';
import { Secret } from '#shared/secret.ts';

/**
 * The authentication protocol's messages (RFC 4252, RFC 4256).
 *
 * Trust: anybody's bytes, before any proof. Everything is bounded, strict UTF-8, and read to the last byte; whatever
 * isn't is malformed and ends the connection.
 */
export type AuthenticationRequest = { readonly user: string } & (
  | { readonly method: 'none' }
  | { readonly method: 'password'; readonly password: Secret }
  | { readonly method: 'probe'; readonly algorithm: string; readonly key: Buffer }
  | {
      readonly method: 'publickey';
      readonly algorithm: string;
      readonly key: Buffer;
      /** The octets that were signed (RFC 4252 §7), session id first. */
      readonly signed: Buffer;
      /** The signature field: string algorithm, string blob. */
      readonly signature: Buffer;
    }
  | { readonly method: 'keyboard-interactive' }
  /** Known to the standard and not to us, a password change among them: refused without looking further. */
  | { readonly method: 'other' }
);

const service = 'ssh-connection';

export function readAuthenticationRequest(payload: Buffer, sessionId: Buffer): AuthenticationRequest {
  const reader = new WireReader(payload, 1);
  const user = reader.text(userNameBytesMax);
  if (reader.text(authenticationTextBytesMax) !== service) throw new MalformedMessage('unknown service');
  const method = reader.text(authenticationTextBytesMax);
  switch (method) {
    case 'none':
      reader.requireEnd();
      return { user, method };
    case 'password': {
      const isChange = reader.boolean();
      const password = new Secret(reader.text(authenticationTextBytesMax));
      if (isChange) reader.text(authenticationTextBytesMax);
      reader.requireEnd();
      return isChange ? { user, method: 'other' } : { user, method, password };
    }
    case 'publickey':
      return readPublicKey(user, payload, reader, sessionId);
    case 'keyboard-interactive':
      reader.string(authenticationTextBytesMax); // language, deprecated
      reader.text(authenticationTextBytesMax); // submethods: a hint we don't need
      reader.requireEnd();
      return { user, method };
    default:
      return { user, method: 'other' };
  }
}

function readPublicKey(
  user: string,
  payload: Buffer,
  reader: WireReader,
  sessionId: Buffer,
): AuthenticationRequest {
  const hasSignature = reader.boolean();
  const algorithm = reader.text(authenticationTextBytesMax);
  const key = reader.string(keyBlobBytesMax);
  if (!hasSignature) {
    reader.requireEnd();
    return { user, method: 'probe', algorithm, key };
  }
  const request = payload.subarray(0, reader.position);
  const signature = reader.string(signatureBytesMax);
  reader.requireEnd();
  const signed = new WireWriter().string(sessionId).raw(request).finish();
  return { user, method: 'publickey', algorithm, key, signed, signature };
}

/** Answers to our prompts; we never ask more than one. */
export function readAnswers(payload: Buffer): Secret[] {
  const reader = new WireReader(payload, 1);
  const count = reader.uint32();
  if (count > 1) throw new MalformedMessage(`${count} answers`);
  const answers = Array.from({ length: count }, () => new Secret(reader.text(authenticationTextBytesMax)));
  reader.requireEnd();
  return answers;
}

export function readServiceRequest(payload: Buffer): string {
  const reader = new WireReader(payload, 1);
  const name = reader.text(authenticationTextBytesMax);
  reader.requireEnd();
  return name;
}

export function serviceAccept(name: string): Buffer {
  return new WireWriter().byte(message.serviceAccept).string(name).finish();
}

export function failureMessage(methods: readonly string[], isPartial: boolean): Buffer {
  return new WireWriter().byte(message.userauthFailure).string(methods.join(',')).boolean(isPartial).finish();
}

export function successMessage(): Buffer {
  return new WireWriter().byte(message.userauthSuccess).finish();
}

export function bannerMessage(text: string): Buffer {
  return new WireWriter().byte(message.userauthBanner).string(text).string('').finish();
}

export function keyAcceptable(algorithm: string, key: Buffer): Buffer {
  return new WireWriter().byte(message.userauthPkOk).string(algorithm).string(key).finish();
}

interface Prompt {
  readonly text: string;
  readonly echo: boolean;
}

/** No title: some clients show it as a window of its own. */
export function infoRequest(instruction: string, prompts: readonly Prompt[]): Buffer {
  const writer = new WireWriter()
    .byte(message.userauthInfoRequest)
    .string('')
    .string(instruction)
    .string('')
    .uint32(prompts.length);
  for (const prompt of prompts) writer.string(prompt.text).boolean(prompt.echo);
  return writer.finish();
}
