import { runProgram } from './clients/process.ts';

/** What a phone's camera would read from a PNG; rejects when it sees no code. */
export async function readQrCode(png: Buffer): Promise<string> {
  const { stdout, stderr } = await runProgram('/usr/bin/zbarimg', ['--raw', '--quiet', '-'], { input: png });
  const text = stdout.trim();
  if (text === '') throw new Error(`no QR code in the picture ${stderr}`);
  return text;
}

/** The picture in a `data:image/png` URL. */
export function pngOfDataUrl(url: string): Buffer {
  const [, base64] = /^data:image\/png;base64,(.+)$/.exec(url) ?? [];
  if (base64 === undefined) throw new Error(`not a PNG data URL: ${url.slice(0, 40)}`);
  return Buffer.from(base64, 'base64');
}

/** The secret in an otpauth URI. */
export function secretOfUri(uri: string): string {
  const secret = new URL(uri).searchParams.get('secret');
  if (secret === null) throw new Error('the URI holds no secret');
  return secret;
}

/** The code an independent authenticator shows now. */
export async function oathtoolCode(base32: string, at = 'now'): Promise<string> {
  const { stdout, stderr } = await runProgram('/usr/bin/oathtool', [
    '--totp',
    '--base32',
    '--now',
    at,
    base32,
  ]);
  if (!/^\d{6}\n$/.test(stdout)) throw new Error(`oathtool: ${stderr}`);
  return stdout.trim();
}
