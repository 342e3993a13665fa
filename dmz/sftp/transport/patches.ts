/**
 * What is changed inside ssh2 1.17.0, numbered, each with its reason. The package's files are read, changed in memory
 * and compiled as a copy of our own; nothing of its source is in this repository.
 *
 * `text` patches replace an anchor that must occur exactly once in the named file: another ssh2 makes start-up refuse.
 * `export` patches replace a function that later modules of the copy pick up, and refuse when it is not there.
 *
 * What stock ssh2 does wrong above its transport (authentication contexts, channels, SFTP) needs no patch: none of that
 * code is used. The copy ends at `Protocol`; authentication, channels and SFTP are ours.
 */
export interface TextPatch {
  readonly number: number;
  readonly file: string;
  readonly anchor: string;
  readonly replacement: string;
  readonly reason: string;
}

/**
 * Hybrid key exchange mlkem768x25519-sha256 (draft-ietf-sshm-mlkem-hybrid-kex), server side: the client sends its
 * ML-KEM public key and X25519 share, gets ciphertext and share; K = SHA-256(KEM secret ‖ X25519 secret), a string.
 */
const mlkemExchange = `
  class MlkemX25519Exchange extends Curve25519Exchange {
    constructor(...args) {
      super('sha256', ...args);
      this.type = 'mlkem768x25519';
    }
    convertPublicKey(key) {
      return key;
    }
    getPublicKey() {
      return Buffer.concat([this._ciphertext, super.getPublicKey()]);
    }
    computeSecret(clientInit) {
      this.generateKeys();
      try {
        const { encapsulate } = require('crypto');
        if (clientInit.length !== 1184 + 32)
          throw new Error('client share of ' + clientInit.length + ' bytes');
        const spki = (prefix, raw) => createPublicKey({
          key: Buffer.concat([Buffer.from(prefix, 'hex'), raw]), type: 'spki', format: 'der',
        });
        const kem = encapsulate(
          spki('308204b2300b0609608648016503040402038204a100', clientInit.subarray(0, 1184))
        );
        this._ciphertext = kem.ciphertext;
        const shared = diffieHellman({
          privateKey: this._keys.privateKey,
          publicKey: spki('302a300506032b656e032100', clientInit.subarray(1184)),
        });
        return createHash('sha256').update(kem.sharedKey).update(shared).digest();
      } catch (ex) {
        return ex;
      }
    }
  }
`;

export const textPatches: readonly TextPatch[] = [
  {
    number: 1,
    file: 'protocol/kex.js',
    anchor: '  class ECDHExchange extends KeyExchange {',
    replacement: `${mlkemExchange}\n  class ECDHExchange extends KeyExchange {`,
    reason: 'post-quantum key exchange: OpenSSH 10.1 warns its user about servers without one',
  },
  {
    number: 2,
    file: 'protocol/kex.js',
    anchor: `        case 'ecdh-sha2-nistp256':
          return new ECDHExchange(`,
    replacement: `        case 'mlkem768x25519-sha256':
          return new MlkemX25519Exchange(...args);

        case 'ecdh-sha2-nistp256':
          return new ECDHExchange(`,
    reason: 'the name by which patch 1 is negotiated',
  },
  {
    number: 3,
    file: 'protocol/kex.js',
    anchor: 'self._decipher._onPayload = onKEXPayload.bind(',
    replacement: 'self._decipher._onPayload = module.exports.onKEXPayload.bind(',
    reason: 'what export patch 6 says of messages in a key exchange holds in later exchanges too',
  },
  {
    number: 4,
    file: 'protocol/kex.js',
    anchor: 'let secret = this.computeSecret(this._dhData);',
    replacement: 'let secret = (this._sharedSecret ??= this.computeSecret(this._dhData));',
    reason: 'patch 5 goes through this twice, and an ML-KEM ciphertext is made once',
  },
  {
    number: 5,
    file: 'protocol/kex.js',
    anchor: 'let signature = this._hostKey.sign(exchangeHash, hashAlgo);',
    replacement: `let signature = this._hostKey.sign(exchangeHash, hashAlgo, {
          protocol: this._protocol,
          exchange: this,
          hashed: {
            clientVersion: this._remoteIdentRaw,
            serverVersion: this._identRaw,
            clientKexInit: this._remoteKexinit,
            serverKexInit: this._kexinit,
            hostKey: serverPublicHostKey,
            clientShare: pubKey,
            serverShare: serverPublicKey,
            secret,
          },
        });
        if (signature === undefined) {
          this._finished = false;
          return;
        }
        this._sharedSecret = undefined;`,
    reason: 'a host key may be elsewhere: its signature comes later, and finish() is called again then',
  },
];
