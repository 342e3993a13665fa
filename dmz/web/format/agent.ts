/**
 * What a client calls itself, as people know it: browser and system, or the program. For recognising one's own
 * sessions; a client can call itself anything.
 */
interface AgentName {
  readonly name: string;
  readonly system?: string;
}

/** In this order: most browsers also call themselves by the names of those below. */
const browsers: readonly (readonly [RegExp, string])[] = [
  [/\bEdgA?(iOS)?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\bVivaldi\//, 'Vivaldi'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\b(Firefox|FxiOS)\//, 'Firefox'],
  [/\b(Headless)?(Chrome|CriOS)\//, 'Chrome'],
  [/\bChromium\//, 'Chromium'],
  [/\bSafari\//, 'Safari'],
];
const systems: readonly (readonly [RegExp, string])[] = [
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows\b/, 'Windows'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bMac OS X\b|\bMacintosh\b/, 'macOS'],
  [/\bLinux\b/, 'Linux'],
];

/** Longer names are cut: the server keeps up to 255 characters of whatever it was told. */
const nameCharactersMax = 40;

/** Undefined: it said nothing. */
export function describeAgent(untrustedAgent: string): AgentName | undefined {
  const find = (known: typeof browsers): string | undefined =>
    known.find(([form]) => form.test(untrustedAgent))?.[1];
  const browser = untrustedAgent.startsWith('Mozilla/') ? find(browsers) : undefined;
  if (browser !== undefined) {
    const system = find(systems);
    return system === undefined ? { name: browser } : { name: browser, system };
  }
  // `SSH-2.0-OpenSSH_9.2p1 Debian-2` · `curl/8.14.1 (x86_64)` → `OpenSSH 9.2p1` · `curl 8.14.1`.
  const [program = ''] = untrustedAgent
    .replace(/^SSH-[0-9.]+-/, '')
    .trim()
    .split(/\s/);
  const name = program.replaceAll('_', ' ').replace('/', ' ').slice(0, nameCharactersMax).trim();
  return name === '' ? undefined : { name };
}
