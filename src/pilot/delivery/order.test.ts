import { expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import type { Subscription } from '../../xds/server/subscription.ts';
import { receive, sent } from '../../xds/server/subscription.ts';
import { isWildcardType, typeUrls } from '../../xds/types.ts';
import type { Encoded, Snapshot } from '../resources/snapshot.ts';
import { Delivery } from './delivery.ts';

test('pump: one push of everything goes out as CDS, EDS, LDS, RDS, SDS, then the others (B4.05)', () => {
  const subscriptions = new Map<string, Subscription>();
  const order: string[] = [];
  let content = 1;
  const snapshot = (): Snapshot => {
    const encoded: Encoded = {
      name: 'one',
      field: Buffer.from(String(content)),
      version: String(content),
      facts: { clusters: [] },
      provenance: [],
    };
    return new Map([['one', encoded]]);
  };
  let targets = new Map<string, Snapshot>();
  const renew = (): void => {
    targets = new Map(Object.values(typeUrls).map((typeUrl) => [typeUrl, snapshot()]));
  };
  renew();
  const delivery = new Delivery({
    clock: new FakeClock(),
    port: {
      dialect: 'sotw',
      busy: false,
      subscriptions,
      send: (typeUrl) => {
        const nonce = `n${order.push(typeUrl)}`;
        const before = subscriptions.get(typeUrl);
        if (before !== undefined) subscriptions.set(typeUrl, sent(before, { nonce, version: 'v', atMs: 0 }));
        return nonce;
      },
    },
    target: (typeUrl) => targets.get(typeUrl),
    rejected: () => {},
    failed: (error) => {
      throw error;
    },
  });
  const say = (typeUrl: string): void => {
    const before = subscriptions.get(typeUrl);
    const names = isWildcardType(typeUrl) ? [] : ['one'];
    const { subscription, event } = receive(
      before,
      { names, nonce: before?.nonceSent ?? '', version: '' },
      isWildcardType(typeUrl),
    );
    if (subscription !== undefined) subscriptions.set(typeUrl, subscription);
    delivery.received(typeUrl, event);
    delivery.pump();
  };
  // Asked for in the opposite order, which counts for nothing.
  const types = Object.values(typeUrls).reverse();
  for (const typeUrl of types) say(typeUrl);
  for (const typeUrl of types) say(typeUrl);
  expect(delivery.idle).toBe(true);
  order.length = 0;
  content = 2;
  renew();
  delivery.pump();
  const { cluster, endpoint, listener, route, secret } = typeUrls;
  expect(order.slice(0, 5)).toEqual([cluster, endpoint, listener, route, secret]);
  expect(order.slice(5).sort()).toEqual([typeUrls.extensionConfig, typeUrls.nameTable].sort());
});
