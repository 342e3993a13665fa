import { parseProxyHeader } from '#dmz/guard/proxy-header.ts';
import { packetType } from '#dmz/sftp/protocol/constants.ts';
import { PacketAssembler } from '#dmz/sftp/protocol/packet-assembler.ts';
import { parseRequest, RequestRefused } from '#dmz/sftp/protocol/requests.ts';
import { MalformedMessage, WireWriter } from '#dmz/sftp/wire.ts';
import { isIP } from 'node:net';
import type { Outcome, Sample, Target } from '#test/fuzz/target.ts';

/** Packets of signed-in SFTP clients, and what a balancer says of whose connection it is. */

const refused: Outcome = { taken: [], isRefused: true };
const taken = (...kinds: readonly string[]): Outcome => ({ taken: kinds, isRefused: false });

function framed(body: Buffer): Buffer {
  return new WireWriter().string(body).finish();
}

const attributes = (writer: WireWriter): WireWriter => writer.uint32(0x0c).uint32(0o644).uint32(1).uint32(2);

const sftpRequests: Readonly<Record<string, WireWriter>> = (() => {
  const of = (type: number): WireWriter => new WireWriter().byte(type).uint32(9);
  const extended = (name: string): WireWriter => of(packetType.extended).string(name);
  return {
    init: new WireWriter().byte(packetType.init).uint32(3),
    open: attributes(of(packetType.open).string('/in/a.txt').uint32(0x1a)),
    close: of(packetType.close).string('00000001'),
    read: of(packetType.read).string('00000001').uint64(0).uint32(32_768),
    write: of(packetType.write).string('00000001').uint64(7).string('some data'),
    stat: of(packetType.stat).string('/a'),
    lstat: of(packetType.lstat).string('/a'),
    fstat: of(packetType.fstat).string('00000001'),
    setstat: attributes(of(packetType.setstat).string('/a')),
    fsetstat: attributes(of(packetType.fsetstat).string('00000001')),
    opendir: of(packetType.opendir).string('/a'),
    readdir: of(packetType.readdir).string('00000001'),
    remove: of(packetType.remove).string('/a'),
    mkdir: attributes(of(packetType.mkdir).string('/a')),
    rmdir: of(packetType.rmdir).string('/a'),
    realpath: of(packetType.realpath).string('.'),
    readlink: of(packetType.readlink).string('/a'),
    rename: of(packetType.rename).string('/a').string('/b'),
    symlink: of(packetType.symlink).string('/a').string('/b'),
    statvfs: extended('statvfs@openssh.com').string('/'),
    fstatvfs: extended('fstatvfs@openssh.com').string('00000001'),
    fsync: extended('fsync@openssh.com').string('00000001'),
    lsetstat: attributes(extended('lsetstat@openssh.com').string('/a')),
    limits: extended('limits@openssh.com'),
    'expand-path': extended('expand-path@openssh.com').string('~/x'),
    'home-directory': extended('home-directory').string('alice'),
    'copy-data': extended('copy-data').string('1').uint64(0).uint64(0).string('2').uint64(0),
    unsupported: extended('hardlink@openssh.com').string('/a').string('/b'),
  };
})();

export function buildSftpPackets(): Target {
  const corpus = Object.entries(sftpRequests).map(([kind, writer]): Sample => ({
    kinds: [kind],
    bytes: framed(writer.finish()),
  }));
  return {
    name: 'sftp-packets',
    kinds: Object.keys(sftpRequests),
    corpus,
    run(input) {
      const assembler = new PacketAssembler();
      const kinds: string[] = [];
      let isRefused = false;
      try {
        // In two pieces, as a network brings them.
        const half = input.length >> 1;
        assembler.push(input.subarray(0, half));
        assembler.push(input.subarray(half));
        for (let packet = assembler.next(); packet !== undefined; packet = assembler.next()) {
          try {
            kinds.push(parseRequest(packet).type);
          } catch (error) {
            if (!(error instanceof RequestRefused)) throw error;
            isRefused = true;
          }
        }
        if (assembler.bufferedBytes > input.length) throw new Error('holds more than it was given');
      } catch (error) {
        if (!(error instanceof MalformedMessage)) throw error;
        isRefused = true;
      }
      return { taken: kinds, isRefused };
    },
  };
}

export function buildProxyHeaders(): Target {
  const binary = (family: number, addresses: string): Buffer =>
    Buffer.concat([
      Buffer.from('0d0a0d0a000d0a515549540a', 'hex'),
      Buffer.from([0x21, family, 0, addresses.length / 2]),
      Buffer.from(addresses, 'hex'),
    ]);
  const local = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');
  const six = '20010db8000000000000000000000007'.repeat(2);
  const corpus: Sample[] = [
    { kinds: ['v1 TCP4'], bytes: Buffer.from('PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\r\n') },
    { kinds: ['v1 TCP6'], bytes: Buffer.from('PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n') },
    { kinds: ['v1 UNKNOWN'], bytes: Buffer.from('PROXY UNKNOWN\r\n') },
    { kinds: ['v2 IPv4'], bytes: binary(0x11, 'cb007109c0000201138801bb') },
    { kinds: ['v2 IPv6'], bytes: binary(0x21, `${six}138801bb`) },
    {
      kinds: ['v2 IPv6'],
      bytes: binary(0x21, `00000000000000000000ffffcb007109${six.slice(0, 32)}138801bb`),
    },
    { kinds: ['v2 IPv4'], bytes: binary(0x11, 'cb007109c0000201138801bb0300041234abcd') },
    { kinds: ['v2 LOCAL'], bytes: local },
  ];
  return {
    name: 'proxy-header',
    kinds: [...new Set(corpus.flatMap(({ kinds }) => kinds))],
    corpus,
    run(input) {
      const header = parseProxyHeader(input);
      if (header.state !== 'complete') return refused;
      const { bytes, client } = header;
      if (bytes > input.length) throw new Error('longer than what there is');
      if (
        client !== undefined &&
        (isIP(client.ip) === 0 || client.port > 65_535 || !Number.isInteger(client.port))
      )
        throw new Error(`somebody at ${client.ip} ${client.port}`);
      // The same bytes mean the same in any pieces, and no beginning of them means something else.
      for (let end = 0; end < bytes; end += 1)
        if (parseProxyHeader(input.subarray(0, end)).state !== 'incomplete')
          throw new Error(`${end} bytes are more than incomplete`);
      if (input[0] === 0x50)
        return taken(
          client === undefined
            ? 'v1 UNKNOWN'
            : isIP(client.ip) === 4 && input.includes('TCP4')
              ? 'v1 TCP4'
              : 'v1 TCP6',
        );
      return taken(client === undefined ? 'v2 LOCAL' : (input[13] ?? 0) >> 4 === 1 ? 'v2 IPv4' : 'v2 IPv6');
    },
  };
}
