import { expect, test } from 'vitest';
import { socketAddress } from '../io/socket-address.ts';
import { findByDestination } from './by-destination.ts';

test('findByDestination: the address itself, else the port on every address of its family (D2.02)', () => {
  const listeners = [
    { name: 'every', addresses: [socketAddress('0.0.0.0', 80)] },
    { name: 'one', addresses: [socketAddress('10.0.0.1', 80)] },
    { name: 'every6', addresses: [socketAddress('::', 81), socketAddress('0.0.0.0', 82)] },
  ];
  const found = (address: string, port: number): string | undefined =>
    findByDestination(listeners, { address, port })?.name;
  expect(found('10.0.0.1', 80)).toBe('one');
  expect(found('10.0.0.2', 80)).toBe('every');
  expect(found('2001:db8::1', 80)).toBeUndefined();
  expect(found('2001:db8::1', 81)).toBe('every6');
  expect(found('10.0.0.1', 81)).toBeUndefined();
  expect(found('10.0.0.1', 82)).toBe('every6');
});
