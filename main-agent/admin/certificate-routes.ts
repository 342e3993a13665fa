import { X509Certificate } from 'node:crypto';
import type { CertificateStanding } from '#main-agent/acme/certificates.ts';
import { SallyportError } from '#shared/error.ts';
import { z } from 'zod';
import { certificateAnswer } from './answers.ts';
import { defineRoute, noBody, noQuery, type Route } from './http/route.ts';
import { reason } from './values.ts';

/** `/v1/certificate`: the nodes' certificate, where main has it from an authority. */

export interface CertificatePorts {
  /** Undefined: the nodes have certificates of their own. */
  readonly doorCertificate: { standing(): CertificateStanding; renew(): Promise<void> } | undefined;
}

export function buildCertificateRoutes({ doorCertificate }: CertificatePorts): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      pattern: '/v1/certificate',
      role: 'viewer',
      summary:
        'The certificate that main has from an authority for the nodes’ HTTPS doors, and when it is renewed',
      query: noQuery,
      body: noBody,
      answer: certificateAnswer,
      handle: async () => ({ body: view(require(doorCertificate).standing()) }),
    }),
    defineRoute({
      method: 'POST',
      pattern: '/v1/certificate/renew',
      role: 'admin',
      summary: 'Order a new certificate now; answered when it went to the nodes, or with why there is none',
      query: noQuery,
      body: z.strictObject({ reason: reason.default('by an admin') }),
      answer: certificateAnswer,
      handle: async ({ body }) => {
        const certificate = require(doorCertificate);
        await certificate.renew();
        return { body: view(certificate.standing()), note: body.reason };
      },
    }),
  ];
}

function require<T>(certificate: T | undefined): T {
  if (certificate !== undefined) return certificate;
  throw new SallyportError('not-found', 'Main has no certificate from an authority', {
    detail: 'the nodes have certificates of their own',
    hint: 'https.acme in main-agent.yaml orders one; `sallyport node doctor` on a DMZ box tells of its own',
  });
}

function view({ directory, names, certificatePem, renewFromMs, failure }: CertificateStanding) {
  return {
    authority: directory.href,
    names: [...names],
    ...(certificatePem !== undefined && { present: viewCertificate(certificatePem) }),
    ...(renewFromMs !== undefined && { renewed_from: new Date(renewFromMs).toISOString() }),
    ...(failure !== undefined && {
      failure: { why: failure.why, next_try: new Date(failure.nextTryMs).toISOString() },
    }),
  };
}

function viewCertificate(pem: string) {
  const { issuer, serialNumber, fingerprint256, subjectAltName, validFromDate, validToDate } =
    new X509Certificate(pem);
  return {
    names: subjectAltName ?? '',
    issuer,
    serial: serialNumber,
    sha256: fingerprint256,
    from: validFromDate.toISOString(),
    until: validToDate.toISOString(),
  };
}
