import { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { Channel } from '#dmz/sftp/channels/channel.ts';
import { SocketOutput } from '#dmz/sftp/transport/socket-output.ts';

/** A socket that counts what it was given at once. */
class CountingSocket extends Socket {
  readonly writes: number[] = [];

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.writes.push(chunk.length);
    done();
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.writes.push(chunks.reduce((sum, { chunk }) => sum + chunk.length, 0));
    done();
  }
}

it('an answer of several packets, the last of them not full, leaves in one system call', async () => {
  const socket = new CountingSocket();
  const output = new SocketOutput(socket);
  const packets: number[] = [];
  const sendFilled = (length: number, fill: (packet: Buffer, start: number) => void) => {
    const packet = Buffer.alloc(length);
    fill(packet, 0);
    packets.push(length);
    output.write(packet);
  };
  const carrier = { isWritable: true, send: (payload: Buffer) => output.write(payload), sendFilled };
  const channel = new Channel(carrier, { id: 0, window: 1_000_000, packetBytes: 32_768 });

  channel.write([Buffer.alloc(13), Buffer.alloc(261_120)]);
  await new Promise(setImmediate);

  expect(packets).toEqual([...Array.from({ length: 7 }, () => 32_777), 31_766]);
  expect(socket.writes).toEqual([261_133 + 8 * 9]);
});
