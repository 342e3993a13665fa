import { dialAddress, plainName } from '#shared/config/value-types.ts';
import { SallyportError } from '#shared/error.ts';
import { z } from 'zod';

/**
 * The one line that each side carries to the other at pairing. It holds no secret; what it must be is unchanged,
 * which the check words show. Unknown fields are refused, so that nothing unseen rides along.
 *
 *     sallyport-node/1 name=dmz1 address=10.0.1.5:8444 identity=SHA256:… signing_key=… host_key=SHA256:…
 *     sallyport-main/1 name=main1 identity=SHA256:…
 *
 * Trust: pasted by an admin; parsed strictly.
 */

/** `SHA256:` and 43 characters base64url, as `shared/identity` makes them. */
const fingerprint = z.string().regex(/^SHA256:[A-Za-z0-9_-]{43}$/, { error: 'a key fingerprint' });

export const nodeSchema = z.strictObject({
  name: plainName,
  /** Where main dials. */
  address: z
    .string()
    .max(300)
    .refine((text) => dialAddress.safeParse(text).success, 'an address and port'),
  identity: fingerprint,
  /** The Ed25519 public key itself (RFC 8032), base64url: main verifies assertions with it. */
  signing_key: z.string().regex(/^[A-Za-z0-9_-]{43}$/, { error: 'an Ed25519 public key' }),
  /** SSH host key, as `ssh-keygen -l` prints it; for users to compare. `main`: it has none, and main is to sign. */
  host_key: z
    .string()
    .regex(/^(SHA256:[A-Za-z0-9+/]{43}|main)$/, { error: 'an SSH key fingerprint, or main' }),
});
const mainSchema = z.strictObject({ name: plainName, identity: fingerprint });

export type NodePairing = z.output<typeof nodeSchema>;
export type MainPairing = z.output<typeof mainSchema>;

const nodeHead = 'sallyport-node/1';
const mainHead = 'sallyport-main/1';
const lineCharactersMax = 1024;

export function formatNodeLine(pairing: NodePairing): string {
  return formatLine(nodeHead, pairing);
}

export function formatMainLine(pairing: MainPairing): string {
  return formatLine(mainHead, pairing);
}

/** Rejects `pairing` and says what the line is instead. */
export function parseNodeLine(line: string): NodePairing {
  return parseLine(nodeHead, nodeSchema, line, 'sallyport node init');
}

export function parseMainLine(line: string): MainPairing {
  return parseLine(mainHead, mainSchema, line, 'sallyport nodes enrol');
}

/** As it is compared: copying may have added spaces and line ends around it. */
export function tidyLine(line: string): string {
  return line.trim().split(/\s+/).join(' ');
}

export function formatLine(head: string, fields: Readonly<Record<string, string>>): string {
  return [head, ...Object.entries(fields).map(([key, value]) => `${key}=${value}`)].join(' ');
}

export function parseLine<T>(head: string, schema: z.ZodType<T>, line: string, maker: string): T {
  const refuse = (detail: string): SallyportError =>
    new SallyportError('pairing', 'That is not the pairing line', {
      detail,
      hint: `copy the whole line that \`${maker}\` printed, in quotes`,
    });
  if (line.length > lineCharactersMax) throw refuse(`longer than ${lineCharactersMax} characters`);
  const [first, ...rest] = tidyLine(line).split(' ');
  if (first !== head) throw refuse(`it does not start with ${head}`);
  const fields = new Map<string, string>();
  for (const field of rest) {
    const [, key, value] = /^([a-z_]+)=(.+)$/.exec(field) ?? [];
    if (key === undefined || value === undefined || fields.has(key)) throw refuse(`unclear: ${field}`);
    fields.set(key, value);
  }
  const result = schema.safeParse(Object.fromEntries(fields));
  if (result.success) return result.data;
  throw refuse(result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
}
