// Istio's published networking YAML of Bookinfo, used as it is on our Bookinfo.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { istioTestdata } from './support/istio-testdata.ts';
import type { Mesh } from './support/mesh.ts';
import { startMesh } from './support/mesh.ts';
import { waitFor } from './support/wait.ts';

const folder = istioTestdata('samples');
const repository = join(import.meta.dirname, '..');

interface Expectation {
  /** The file that holds the routes. */
  readonly file: string;
  /** Versions of reviews that each user may meet, and that all must show up in enough requests. */
  readonly versions: Readonly<Record<string, readonly string[]>>;
}

const expectations: readonly Expectation[] = [
  { file: 'virtual-service-all-v1', versions: { '': ['v1'], jason: ['v1'] } },
  { file: 'virtual-service-reviews-test-v2', versions: { '': ['v1'], jason: ['v2'] } },
  { file: 'virtual-service-reviews-jason-v2-v3', versions: { '': ['v3'], jason: ['v2'] } },
  { file: 'virtual-service-reviews-50-v3', versions: { '': ['v1', 'v3'] } },
  { file: 'virtual-service-reviews-80-20', versions: { '': ['v1', 'v2'] } },
  { file: 'virtual-service-reviews-90-10', versions: { '': ['v1', 'v2'] } },
  { file: 'virtual-service-reviews-v2-v3', versions: { '': ['v2', 'v3'] } },
  { file: 'virtual-service-reviews-v3', versions: { '': ['v3'], jason: ['v3'] } },
];

describe.skipIf(folder === undefined)('Istio’s Bookinfo YAML', () => {
  let mesh: Mesh;

  beforeAll(async () => {
    mesh = await startMesh({
      files: {
        'apps.yaml': readFileSync(join(repository, 'samples/bookinfo/bookinfo.yaml'), 'utf8').replaceAll(
          '../../dist/',
          `${repository}/dist/`,
        ),
        'gateway.yaml': published('bookinfo-gateway'),
        'rules.yaml': published('destination-rule-all'),
      },
      network: 98,
    });
  }, 120_000);
  afterAll(async () => {
    await mesh?.stop();
  });

  test('up: the published gateway lets the productpage in (A1.16, A5.02)', async () => {
    const page = await waitFor('the productpage', async () => {
      const answer = await mesh.fromGateway({ url: 'http://any.test/productpage' });
      return answer.status === 200 ? answer : undefined;
    });
    expect(page.body).toContain('The Comedy of Errors');
    expect((await mesh.fromGateway({ url: 'http://any.test/other' })).status).toBe(404);
  });

  test.each(expectations)('up: $file (A5.02)', { timeout: 60_000 }, async ({ file, versions }) => {
    mesh.write('routes.yaml', published(file));
    for (const [user, wanted] of Object.entries(versions)) {
      // oxlint-disable-next-line no-await-in-loop -- one user after the other
      await waitFor(`${wanted.join(', ')} for ${user || 'everyone'}`, async () => {
        const seen = new Set<string>();
        for (let request = 0; request < 60; request++) {
          // oxlint-disable-next-line no-await-in-loop
          seen.add(await reviewsVersion(user));
        }
        return [...seen].sort().join() === wanted.join() || undefined;
      });
    }
  });

  test('up: the published faults touch jason alone (A5.02, A5.10)', { timeout: 60_000 }, async () => {
    const routes = (fault: string): string =>
      ['virtual-service-reviews-test-v2', fault].map(published).join('\n---\n');
    mesh.write('routes.yaml', routes('virtual-service-ratings-test-abort'));
    await waitFor(
      'the abort',
      async () => (await page('jason')).includes('Ratings service is currently unavailable') || undefined,
    );
    mesh.write('routes.yaml', routes('virtual-service-ratings-test-delay'));
    await waitFor(
      'the delay',
      async () => (await page('jason')).includes('Sorry, product reviews are') || undefined,
      30_000,
    );
    expect(await page('')).not.toContain('unavailable');
  });

  async function page(user: string): Promise<string> {
    return (await mesh.fromGateway({ url: 'http://any.test/productpage', headers: cookie(user) })).body;
  }

  async function reviewsVersion(user: string): Promise<string> {
    const url = 'http://any.test/api/v1/products/0/reviews';
    const { body } = await mesh.fromGateway({ url, headers: cookie(user) });
    return /"podname":"reviews-(v\d)-/.exec(body)?.[1] ?? body;
  }
});

function cookie(user: string): Record<string, string> {
  return user === '' ? {} : { cookie: `session=${user}` };
}

function published(name: string): string {
  return readFileSync(join(folder ?? '', 'files/bookinfo/networking', `${name}.yaml`), 'utf8');
}
