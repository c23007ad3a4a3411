// The page of castoff ui in Chromium, while something is being drained.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [url, program, folder] = process.argv.slice(2);
const root = ["--no-sandbox"]; // Chromium has no sandbox for root
const browser = await chromium.launch({ executablePath: program, args: process.getuid() === 0 ? root : [] });
const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 400, height: 800 };

async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000); // the node runs on the same machine
  page.troubles = [];
  page.on("console", (message) => page.troubles.push(message.text()));
  page.on("pageerror", (error) => page.troubles.push(String(error)));
  page.on("requestfailed", (request) => page.troubles.push(`${request.url()} failed`));
  assert.equal((await page.goto(url)).status(), 200);
  return page;
}

const text = (page) => page.locator("main").innerHTML();
const live = (page) => page.waitForFunction(() => document.getElementById("live").textContent === "live");

async function changes(page, before) {
  await page.waitForFunction((html) => document.querySelector("main").innerHTML !== html, before);
}

async function picture(page, name) {
  if (folder) await page.screenshot({ path: `${folder}/ui-${name}.png`, fullPage: true });
}

async function goesOnByItself() {
  const page = await open({ viewport: WIDE, colorScheme: "light" });
  await live(page);
  await changes(page, await text(page));
  await picture(page, "light");
  assert.ok((await page.locator(".lanes tbody tr").count()) > 0, "no pod has a lane");
  assert.deepEqual(page.troubles, []);
}

async function canBePausedByTheKeyboard() {
  const page = await open({ viewport: WIDE });
  await live(page);
  const focused = () => page.evaluate(() => document.activeElement.id);
  for (let presses = 0; (await focused()) !== "pause"; presses += 1) {
    assert.ok(presses < 10, "Tab does not lead to the button");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  const before = await text(page);
  await page.waitForTimeout(2500); // what would come in that time does not
  assert.equal(await text(page), before, "paused, it goes on all the same");
  await page.keyboard.press("Enter");
  await changes(page, before);
}

async function fitsANarrowScreen() {
  const page = await open({ viewport: NARROW, colorScheme: "dark" });
  await live(page);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= NARROW.width, `${width} px wide`);
  await picture(page, "narrow");
}

async function isReadableWithoutAScript() {
  const page = await open({ viewport: WIDE, javaScriptEnabled: false });
  assert.ok((await page.locator(".lanes tbody th").count()) > 0, "no pod is shown");
  assert.ok((await page.locator("#policies tbody tr").count()) > 0, "no policy is shown");
}

async function followsTheSchemeOfTheSystem() {
  const ground = async (colorScheme) => {
    const page = await open({ viewport: WIDE, colorScheme });
    await live(page);
    if (colorScheme === "dark") await picture(page, "dark");
    return page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  };
  assert.notEqual(await ground("light"), await ground("dark"));
}

for (const look of [goesOnByItself, canBePausedByTheKeyboard, fitsANarrowScreen, isReadableWithoutAScript, followsTheSchemeOfTheSystem]) {
  try {
    await look();
  } catch (error) {
    throw new Error(`${look.name}: ${error.message}`);
  }
}
await browser.close();
