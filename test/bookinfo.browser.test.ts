// Bookinfo as a person meets it: the page in a browser, through the gateway, while route files are copied in.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Mesh } from './support/mesh.ts';
import { startMesh } from './support/mesh.ts';
import { needs } from './support/tools.ts';
import { waitFor } from './support/wait.ts';

const absent = needs('chromium');
const repository = join(import.meta.dirname, '..');
/** The one file whose contents are the routes in force, as the README of the route sets says. */
const routesFile = 'routes.yaml';

describe.skipIf(absent)('Bookinfo in a browser', { timeout: 60_000 }, () => {
  let mesh: Mesh;
  let browser: Browser;

  beforeAll(async () => {
    mesh = await startMesh({ files: bookinfoFiles(), network: 95 });
    browser = await chromium.launch({ executablePath: chromiumPath(), args: ['--no-sandbox'] });
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await mesh?.stop();
  });

  test('up: the productpage is served, with details and reviews (A1.16, A5.02)', async () => {
    const page = await open();
    expect(await page.textContent('h1')).toBe('The Comedy of Errors');
    expect(await page.textContent('#details')).toContain('PublisherA');
    expect(await page.locator('.review').count()).toBe(2);
    const missing = await mesh.fromGateway({ url: 'http://any.test/no/such/path' });
    expect(missing.status).toBe(404);
  });

  test('up: routes are followed as their file is replaced: v1, v3, jason on v2 (A5.02)', async () => {
    useRoutes('all-v1.yaml');
    await stars('none');
    useRoutes('reviews-v3.yaml');
    await stars('red');
    useRoutes('reviews-jason-v2.yaml');
    await stars('none');
    const page = await open();
    await page.fill('#username', 'jason');
    await page.click('header button');
    await page.waitForSelector('#user');
    expect(await page.textContent('#user')).toBe('jason');
    expect(await starsOf(page)).toBe('black');
    await page.click('text=Sign out');
    await page.waitForSelector('#username');
    expect(await starsOf(page)).toBe('none');
  });

  test('up: faults for jason alone: an abort takes the stars, a delay the reviews (A5.10)', async () => {
    useRoutes('ratings-abort.yaml');
    await waitFor(
      'the abort',
      async () => (await productpage('jason')).includes('Ratings service is currently') || undefined,
    );
    expect(await productpage('')).not.toContain('currently unavailable');
    useRoutes('ratings-delay.yaml');
    const sorry = 'Sorry, product reviews are currently unavailable for this book.';
    await waitFor('the delay', async () => (await productpage('jason')).includes(sorry) || undefined, 30_000);
    expect(await productpage('')).not.toContain('currently unavailable');
  });

  test('up: without routes requests go to all three versions; "Who answers?" draws them', async () => {
    rmSync(join(mesh.folder, routesFile));
    const page = await open();
    await page.click('#traffic-toggle');
    for (const kind of ['plain', 'black', 'red'])
      await page.waitForSelector(`#traffic-dots .${kind}`, { timeout: 20_000 });
    expect(await page.locator('#traffic-dots .failed').count()).toBe(0);
    expect(await page.textContent('#traffic-tally')).toContain('without stars (v1)');
  });

  async function open(): Promise<Page> {
    const context = await browser.newContext();
    const page = await context.newPage();
    const answer = await page.goto(`http://${mesh.gateway}/productpage`);
    expect(answer?.status()).toBe(200);
    return page;
  }

  async function productpage(user: string): Promise<string> {
    const headers = user === '' ? {} : { cookie: `session=${user}` };
    return (await mesh.fromGateway({ url: 'http://any.test/productpage', headers })).body;
  }

  /** Waits until ten pages in a row have these stars. */
  async function stars(wanted: 'none' | 'black' | 'red'): Promise<void> {
    await waitFor(`${wanted} stars`, async () => {
      for (let time = 0; time < 10; time++) {
        // oxlint-disable-next-line no-await-in-loop -- "in a row" is the point
        if (starsIn(await productpage('')) !== wanted) return undefined;
      }
      return true;
    });
    expect(await starsOf(await open())).toBe(wanted);
  }

  function useRoutes(file: string): void {
    mesh.write(routesFile, readFileSync(join(repository, 'samples/bookinfo-routes', file), 'utf8'));
  }
});

async function starsOf(page: Page): Promise<string> {
  expect(await page.locator('.review').count()).toBe(2);
  return starsIn(await page.content());
}

function starsIn(html: string): string {
  return /data-color="(\w+)"/.exec(html)?.[1] ?? 'none';
}

/** The sample's files; its apps are found by their absolute path, as the copy lies elsewhere. */
function bookinfoFiles(): Record<string, string> {
  const folder = join(repository, 'samples/bookinfo');
  const names = readdirSync(folder).filter((name) => name.endsWith('.yaml') && name !== routesFile);
  return Object.fromEntries(
    names.map((name) => [
      name,
      readFileSync(join(folder, name), 'utf8').replaceAll('../../dist/', `${repository}/dist/`),
    ]),
  );
}

function chromiumPath(): string {
  return execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim();
}
