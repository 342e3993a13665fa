import type { EventBody } from '#shared/link/messages.ts';
import { Secret } from '#shared/secret.ts';

/**
 * What main gives a node for its HTTPS door when an authority issues the certificate: the certificate, and what port 80
 * answers the authority. In memory only, and kept while the link is away.
 *
 * Trust: main's word, through the link's schema. Whether the certificate can be served, the door finds out.
 */
interface CertificateFromMain {
  /** The chain, the server's own first. */
  readonly certificatePem: string;
  readonly keyPem: Secret;
}

export class TlsFromMain {
  #certificate: CertificateFromMain | undefined;
  /** By token; as many as one message has. */
  #answers: ReadonlyMap<string, string> = new Map();
  readonly #listeners = new Set<(certificate: CertificateFromMain) => void>();

  /** The newest main gave; undefined before it gave one. */
  get certificate(): CertificateFromMain | undefined {
    return this.#certificate;
  }

  keyAuthorizationOf(token: string): string | undefined {
    return this.#answers.get(token);
  }

  /** Returns its unsubscribe. */
  onCertificate(listener: (certificate: CertificateFromMain) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // — what the link hands over —

  takeAnswers({ answers }: EventBody<'acme.challenges'>): void {
    this.#answers = new Map(answers.map(({ token, keyAuthorization }) => [token, keyAuthorization]));
  }

  takeCertificate({ certificatePem, keyPem }: EventBody<'https.certificate'>): void {
    const certificate = { certificatePem, keyPem: new Secret(keyPem) };
    this.#certificate = certificate;
    for (const listener of this.#listeners) listener(certificate);
  }
}
