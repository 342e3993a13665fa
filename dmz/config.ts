import { filePath, pathContextOf, type NamedFile, type PathContext } from '#shared/config/file-path.ts';
import {
  checkConfigFile,
  readConfigFile,
  requireLoaded,
  type Loaded,
  type LoadOptions,
} from '#shared/config/load.ts';
import { ConfigSource } from '#shared/config/reload.ts';
import {
  cidr,
  duration,
  httpUrl,
  keyText,
  listen,
  none,
  plainName,
  logLevel,
} from '#shared/config/value-types.ts';
import { z } from 'zod';

/**
 * `dmz.yaml`: all that the exposed node is told on its own disk. Policy about users, bans and branding is not here;
 * main pushes it over the link and it is kept in memory only.
 */

/** Stands where main's identity will: no key has this fingerprint, so nobody gets past the handshake. */
export const nobody = `SHA256:${'A'.repeat(43)}`;

/** Each is a process with its own link; main's work for a node is bounded, whatever number of them asks. */
const workersMax = 8;

export function buildDmzSchema(context: PathContext) {
  const file = filePath(context);
  const proxyProtocol = z.strictObject({ from: z.array(cidr).min(1).max(64) }).optional();
  const profile = z.enum(['strict', 'compat']).default('strict');
  return z
    .strictObject({
      node: plainName,
      public_url: httpUrl('https').transform((text) => new URL(text).origin),
      https: z
        .strictObject({
          listen: listen.prefault('0.0.0.0:443'),
          proxy_protocol: proxyProtocol,
          certificate: file.optional(),
          key: file.optional(),
          plain_listen: z.union([none, listen]).prefault('none'),
          profile,
        })
        .superRefine(({ certificate, key }, issues) => {
          if ((certificate === undefined) === (key === undefined)) return;
          const path = [certificate === undefined ? 'certificate' : 'key'];
          issues.addIssue({
            code: 'custom',
            path,
            message: 'both, or neither: main gives them then',
            input: undefined,
          });
        })
        .transform(({ proxy_protocol, plain_listen, ...s }) => ({
          ...s,
          proxiesFrom: proxy_protocol?.from,
          plainListen: plain_listen,
        })),
      sftp: z
        .strictObject({
          listen: listen.prefault('0.0.0.0:22'),
          proxy_protocol: proxyProtocol,
          host_key: z.enum(['main', 'local']).default('local'),
          host_keys: z.array(file).max(4).default([]),
          profile,
        })
        .superRefine(({ host_key, host_keys }, issues) => {
          if ((host_key === 'main') === (host_keys.length === 0)) return;
          const message =
            host_key === 'main'
              ? 'none, where host_key is main: `sallyport hostkeys import` on main takes what is here'
              : 'at least one, or host_key: main';
          issues.addIssue({ code: 'custom', path: ['host_keys'], message, input: undefined });
        })
        .transform((s) => ({
          listen: s.listen,
          proxiesFrom: s.proxy_protocol?.from,
          hostKey: s.host_key,
          hostKeys: s.host_keys,
          profile: s.profile,
        })),
      link: z
        .strictObject({
          listen,
          main: z.strictObject({ identity: keyText }),
          identity_key: file,
          signing_key: file,
        })
        .transform((s) => ({
          listen: s.listen,
          main: s.main,
          identityKey: s.identity_key,
          signingKey: s.signing_key,
        })),
      workers: z.union([z.literal('auto'), z.number().int().min(1).max(workersMax)]).default(1),
      validated_logins: z.boolean().default(true),
      park: z
        .strictObject({ for: duration('0s', '10m').prefault('60s') })
        .prefault({})
        .transform((s) => ({ forMs: s.for })),
      security_txt: z
        .strictObject({
          contact: z
            .array(
              z
                .string()
                .max(256)
                .regex(/^(mailto:[^\s@]+@[^\s@]+|https:\/\/[^\s/]+\S*|tel:\+[0-9-]+)$/, {
                  error: 'mailto:…, https://… or tel:+…',
                }),
            )
            .min(1)
            .max(8),
          languages: z
            .array(
              z.string().regex(/^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/, { error: 'a language such as en' }),
            )
            .max(16)
            .default([]),
        })
        .optional(),
      health: z.strictObject({ listen: z.union([none, listen]).prefault('127.0.0.1:9464') }).prefault({}),
      log: z.strictObject({ level: logLevel }).prefault({}),
    })
    .transform((s) => ({
      node: s.node,
      /** Origin only, such as `https://files.example.com`. */
      publicUrl: s.public_url,
      https: s.https,
      sftp: s.sftp,
      link: s.link,
      workers: s.workers,
      validatedLogins: s.validated_logins,
      park: s.park,
      securityTxt: s.security_txt,
      health: s.health,
      log: s.log,
    }));
}

export type DmzConfig = z.output<ReturnType<typeof buildDmzSchema>>;

/** Rejects with one `config` error whose detail lists every problem. */
export async function loadDmzConfig(file: string, options: LoadOptions = {}): Promise<DmzConfig> {
  return requireLoaded(await checkDmzConfig(file, options));
}

export function checkDmzConfig(file: string, options: LoadOptions = {}): Promise<Loaded<DmzConfig>> {
  const schema = buildDmzSchema(pathContextOf(file, options));
  return checkConfigFile(file, schema, { namedFiles, ...options });
}

/** For a process that may be told to read it again. Rejects as `loadDmzConfig`. */
export function openDmzConfig(file: string, options: LoadOptions = {}): Promise<ConfigSource<DmzConfig>> {
  return ConfigSource.open(() =>
    readConfigFile(file, buildDmzSchema(pathContextOf(file, options)), { namedFiles, ...options }),
  );
}

export function namedFiles(config: DmzConfig): NamedFile[] {
  return [
    ...(config.https.certificate === undefined
      ? []
      : [{ at: ['https', 'certificate'], path: config.https.certificate, kind: 'public' } as const]),
    ...(config.https.key === undefined
      ? []
      : [{ at: ['https', 'key'], path: config.https.key, kind: 'secret' } as const]),
    ...config.sftp.hostKeys.map((key, index): NamedFile => ({
      at: ['sftp', 'host_keys', index],
      path: key,
      kind: 'secret',
    })),
    { at: ['link', 'identity_key'], path: config.link.identityKey, kind: 'secret' },
    { at: ['link', 'signing_key'], path: config.link.signingKey, kind: 'secret' },
  ];
}
