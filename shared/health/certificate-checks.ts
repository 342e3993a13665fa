import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { readPublicFile, readSecretFile } from '#shared/config/file-path.ts';
import { Secret } from '#shared/secret.ts';
import type { HealthCheck } from './check.ts';

/** What may be wrong with a certificate that a door shows: a browser would say it, weeks later. */

/** PEM, as it is served or lies on disk. */
export interface ServedCertificate {
  /** Leaf first. */
  readonly certificatePem: string;
  readonly keyPem: Secret;
}

/** As the files are now; undefined: none are configured. */
export async function readServedCertificate(
  { certificate, key }: { readonly certificate?: string | undefined; readonly key?: string | undefined },
  credentials: string | undefined,
): Promise<ServedCertificate | { readonly unlooked: string } | undefined> {
  if (certificate === undefined || key === undefined) return undefined;
  try {
    const secret = await readSecretFile(key, credentials);
    return {
      certificatePem: (await readPublicFile(certificate)).toString('utf8'),
      keyPem: new Secret(secret.expose().toString('utf8')),
    };
  } catch (error) {
    return { unlooked: error instanceof Error ? error.message : String(error) };
  }
}

interface CertificateFacts {
  /** Undefined: the door has none. */
  readonly certificate: ServedCertificate | { readonly unlooked: string } | undefined;
  /** The name that clients know the door by; undefined: any. */
  readonly name: string | undefined;
  readonly nowMs: number;
}

const dayMs = 24 * 3_600_000;
/** Renewing takes people, and people have weekends. */
const endsSoonMs = 14 * dayMs;

/** `prefix`: of the checks' names. */
export function buildCertificateChecks<Facts>(
  prefix: string,
  of: (facts: Facts) => CertificateFacts,
  how: {
    readonly renew: string;
    readonly key: string;
    /** Absent: nobody knows which name clients use, and no certificate can be for another. */
    readonly name?: string;
  },
): readonly HealthCheck<Facts>[] {
  const check = (
    id: string,
    looksAt: string,
    cure: string,
    affects: 'health' | 'both',
    judge: (
      chain: readonly X509Certificate[],
      served: ServedCertificate,
      facts: CertificateFacts,
    ) => ReturnType<HealthCheck<Facts>['look']>,
  ): HealthCheck<Facts> => ({
    id: `${prefix}-${id}`,
    looksAt,
    cure,
    affects,
    look: (facts) => {
      const seen = of(facts);
      if (seen.certificate === undefined || 'unlooked' in seen.certificate) return seen.certificate;
      return judge(readChain(seen.certificate.certificatePem), seen.certificate, seen);
    },
  });
  const checkName = (cure: string) =>
    check(
      'name',
      'whether the certificate is for the name that clients use',
      cure,
      'health',
      ([leaf], _served, { name }) => {
        if (leaf === undefined || name === undefined) return undefined;
        const named = isIP(name) === 0 ? leaf.checkHost(name) : leaf.checkIP(name);
        if (named !== undefined) return [{ state: 'good', detail: `is for ${name}` }];
        return [
          {
            state: 'bad',
            detail: `is not for ${name}: ${leaf.subjectAltName ?? 'it names nobody'}`,
            hint: cure,
          },
        ];
      },
    );
  return [
    check('key', 'whether certificate and key belong together', how.key, 'both', ([leaf], { keyPem }) => {
      if (leaf === undefined)
        return [{ state: 'bad', detail: 'there is no certificate in the file', hint: how.key }];
      let fits: boolean;
      try {
        fits = leaf.checkPrivateKey(createPrivateKey(keyPem.expose()));
      } catch {
        return [{ state: 'bad', detail: 'the key can not be read', hint: how.key }];
      }
      return fits
        ? [{ state: 'good', detail: 'the key belongs to the certificate' }]
        : [{ state: 'bad', detail: 'the key does not belong to the certificate', hint: how.key }];
    }),
    check(
      'chain',
      'whether the certificate brings what leads to its authority',
      'the certificates between yours and the authority, below yours in the same file',
      'health',
      (chain) => judgeChain(chain),
    ),
    ...(how.name === undefined ? [] : [checkName(how.name)]),
    check('end', 'how long the certificate is good', how.renew, 'health', (chain, _served, { nowMs }) =>
      chain.slice(0, 1).map((leaf) => {
        const days = Math.floor((leaf.validToDate.getTime() - nowMs) / dayMs);
        if (leaf.validFromDate.getTime() > nowMs + dayMs)
          return {
            state: 'bad',
            detail: `is good from ${leaf.validFromDate.toISOString()} only`,
            hint: 'is the clock of this box right?',
          };
        if (leaf.validToDate.getTime() <= nowMs)
          return { state: 'bad', detail: 'has ended', hint: how.renew };
        return leaf.validToDate.getTime() - nowMs <= endsSoonMs
          ? { state: 'warning', detail: `ends in ${days} days`, hint: how.renew }
          : { state: 'good', detail: `is good for ${days} days` };
      }),
    ),
  ];
}

/** More are no chain. */
const chainMax = 10;

/** What can't be read is left out. */
function readChain(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  return blocks.slice(0, chainMax).flatMap((block) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      return [];
    }
  });
}

function judgeChain(chain: readonly X509Certificate[]): ReturnType<HealthCheck<never>['look']> {
  const [leaf, ...others] = chain;
  if (leaf === undefined) return undefined;
  const hint = 'the certificates between yours and the authority, below yours in the same file';
  if (isItsOwnIssuer(leaf)) return [{ state: 'good', detail: 'is its own issuer' }];
  if (others.length === 0) {
    // Who says where its issuer is to be had is not issued by what clients know already; a company's own root may be.
    const state = leaf.infoAccess?.includes('CA Issuers') === true ? 'bad' : 'warning';
    return [{ state, detail: `the chain is missing: nothing leads to ${nameOf(leaf.issuer)}`, hint }];
  }
  const broken = chain.findIndex((one, at) => {
    const next = chain[at + 1];
    return next !== undefined && !(one.checkIssued(next) && one.verify(next.publicKey));
  });
  if (broken === -1) return [{ state: 'good', detail: `comes with its chain (${chain.length})` }];
  const detail = `the chain is broken: certificate ${broken + 2} in the file did not issue the one before it`;
  return [{ state: 'bad', detail, hint }];
}

function isItsOwnIssuer(one: X509Certificate): boolean {
  return one.checkIssued(one) && one.verify(one.publicKey);
}

/** A distinguished name in one line. */
function nameOf(text: string): string {
  return text.replaceAll('\n', ', ');
}
