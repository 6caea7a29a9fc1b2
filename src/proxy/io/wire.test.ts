import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../../../test/support/raw-backend.ts';
import { chooseWires, connect, listen } from './listen.ts';
import type { Wire, WireHandler, WireServer } from './wire.ts';

const ports = { handles: 21300, sockets: 21301, refused: 21302 } as const;

/** Collects what happens on a wire. */
class Recorder implements WireHandler {
  text = '';
  bytes = 0;
  ended = false;
  drains = 0;
  closed: string | undefined;

  onBytes(buffer: Buffer, length: number): void {
    this.bytes += length;
    if (this.bytes < 10_000) this.text += buffer.toString('latin1', 0, length);
  }

  onEnd(): void {
    this.ended = true;
  }

  onDrain(): void {
    this.drains++;
  }

  onClose(errorCode: string | undefined): void {
    this.closed = errorCode ?? 'no error';
  }
}

describe.each(['handles', 'sockets'] as const)('wires as %s', (kind) => {
  let server: WireServer;
  const accepted: Wire[] = [];

  beforeAll(async () => {
    expect(chooseWires(kind)).toBe(kind);
    server = await listen({ address: '127.0.0.1', port: ports[kind], bufferBytesMax: 256 * 1024 }, (wire) => {
      accepted.push(wire);
    });
  });

  afterAll(() => {
    server.close();
    for (const wire of accepted) wire.destroy();
    chooseWires('handles');
  });

  async function pair(): Promise<{ near: Wire; nearSeen: Recorder; far: Wire; farSeen: Recorder }> {
    const nearSeen = new Recorder();
    const farSeen = new Recorder();
    const before = accepted.length;
    let connected = false;
    const near = connect({ address: '127.0.0.1', port: ports[kind] }, nearSeen, () => {
      connected = true;
    });
    near.resume();
    await eventually(
      () => connected && accepted.length > before,
      () => 'not connected',
    );
    const far = accepted.at(-1)!;
    far.setHandler(farSeen);
    return { near, nearSeen, far, farSeen };
  }

  test('nothing is read before resume; pause and resume hold bytes back (D4.15)', async () => {
    const { near, far, farSeen } = await pair();
    near.writeText('one');
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(farSeen.text).toBe('');
    far.resume();
    await eventually(
      () => farSeen.text === 'one',
      () => farSeen.text,
    );
    far.pause();
    near.writeTextAndBytes('two', Buffer.from(' three'));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(farSeen.text).toBe('one');
    far.resume();
    await eventually(
      () => farSeen.text === 'onetwo three',
      () => farSeen.text,
    );
  });

  test('half close: the other direction still works (partly D3.01)', async () => {
    const { near, nearSeen, far, farSeen } = await pair();
    far.resume();
    near.writeText('question');
    near.end();
    await eventually(
      () => farSeen.ended,
      () => 'no end',
    );
    expect([farSeen.text, farSeen.closed, nearSeen.closed]).toEqual(['question', undefined, undefined]);
    far.writeText('answer');
    far.end();
    await eventually(
      () => nearSeen.closed !== undefined && farSeen.closed !== undefined,
      () => 'not closed',
    );
    expect([nearSeen.text, nearSeen.ended, nearSeen.closed, farSeen.closed]).toEqual([
      'answer',
      true,
      'no error',
      'no error',
    ]);
  });

  test('a reader that stops: write says so, drain says when to go on, no byte is lost (D4.15)', async () => {
    const { nearSeen, far, near } = await pair();
    near.pause();
    far.resume();
    const chunk = Buffer.alloc(100_000, 'x');
    let sent = 0;
    const recorder = new Recorder();
    far.setHandler(recorder);
    while (far.writeBytes(chunk)) sent += chunk.length;
    sent += chunk.length;
    expect(far.bufferedBytes).toBeGreaterThan(256 * 1024 - 1);
    near.resume();
    await eventually(
      () => recorder.drains === 1 && nearSeen.bytes === sent,
      () => `${nearSeen.bytes} of ${sent}`,
    );
    expect(far.bufferedBytes).toBe(0);
  });

  test('the caller may overwrite what it wrote (rule of the read buffer)', async () => {
    const { near, nearSeen, far } = await pair();
    near.pause();
    const chunk = Buffer.alloc(60_000);
    let count = 0;
    for (; count < 200 && far.bufferedBytes < 500_000; count++) {
      chunk.fill(97 + (count % 26));
      far.writeBytes(chunk);
    }
    const seen: number[] = [];
    nearSeen.onBytes = (buffer, length): void => {
      nearSeen.bytes += length;
      for (let at = 0; at < length; at++) if (seen.at(-1) !== buffer[at]) seen.push(buffer[at]!);
    };
    near.resume();
    await eventually(
      () => nearSeen.bytes === count * chunk.length,
      () => `${nearSeen.bytes}`,
    );
    expect(seen).toEqual(Array.from({ length: count }, (_, index) => 97 + (index % 26)));
  });

  test('destroy and reset: closed once, later; writes are dropped', async () => {
    for (const how of ['destroy', 'reset'] as const) {
      const { near, nearSeen, far, farSeen } = await pair();
      far.resume();
      const { port } = near.localAddress;
      near[how]();
      expect([near.destroyed, nearSeen.closed]).toEqual([true, undefined]);
      near.writeText('x');
      near.end();
      near.pause();
      near.resume();
      await eventually(
        () => nearSeen.closed !== undefined,
        () => 'not closed',
      );
      await eventually(
        () => farSeen.ended || farSeen.closed !== undefined,
        () => 'the peer sees nothing',
      );
      if (how === 'reset') expect(farSeen.closed).toBe('ECONNRESET');
      // What was asked for once is known after the end, too.
      expect(near.localAddress.port).toBe(port);
      far.destroy();
    }
  });

  test('connect: refused, and from a bound address (partly D2.07)', async () => {
    const refused = new Recorder();
    connect({ address: '127.0.0.1', port: ports.refused }, refused, () => {
      throw new Error('connected');
    });
    await eventually(
      () => refused.closed !== undefined,
      () => 'not closed',
    );
    expect(refused.closed).toBe('ECONNREFUSED');
    const before = accepted.length;
    const wire = connect(
      { address: '127.0.0.1', port: ports[kind], localAddress: '127.0.0.6' },
      new Recorder(),
      () => {},
    );
    await eventually(
      () => accepted.length > before,
      () => 'not connected',
    );
    expect(accepted.at(-1)!.remoteAddress.address).toBe('127.0.0.6');
    wire.destroy();
  });

  test('listen: a port in use is an error', async () => {
    await expect(listen({ address: '127.0.0.1', port: ports[kind] }, () => {})).rejects.toThrow('EADDRINUSE');
  });
});
