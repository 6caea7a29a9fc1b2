// The look of the page. The stars are its loudest colours: which of them are seen is what the demo is about.
export const styleSheet = `
:root {
  --ink: #16242b;
  --soft: #55666e;
  --line: #dbe2e5;
  --ground: #f4f6f7;
  --deep: #174a5b;
  --red: #d3122a;
  color-scheme: light;
}
* { box-sizing: border-box; }
body {
  margin: 0;
  background: var(--ground);
  color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
.wide { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem; }
a { color: var(--deep); }
:focus-visible { outline: 3px solid #f4c95d; outline-offset: 2px; }

.bar { background: var(--deep); color: #fff; }
.bar .wide { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: center; justify-content: space-between; padding-top: .7rem; padding-bottom: .7rem; }
.brand { color: #fff; font: 700 1.25rem/1.2 Georgia, "Times New Roman", serif; text-decoration: none; }
.account { display: flex; align-items: center; gap: .5rem; margin: 0; font-size: .95rem; }
.account input { font: inherit; width: 9rem; padding: .35rem .6rem; border: 0; border-radius: 6px; }
button, .button {
  font: inherit; font-weight: 600; padding: .35rem .9rem; border: 0; border-radius: 6px;
  background: #f4c95d; color: #103642; cursor: pointer; text-decoration: none;
}
button:hover, .button:hover { background: #ffd979; }
.button.quiet { background: #103642; color: #fff; }
.button.quiet:hover { background: #0b2731; }

main.wide { padding-top: 2.5rem; padding-bottom: 4rem; }
.book { display: grid; grid-template-columns: minmax(10rem, 14rem) 1fr; gap: 2.5rem; align-items: start; }
.cover { width: 100%; height: auto; filter: drop-shadow(0 10px 18px rgb(16 54 66 / .28)); }
h1 { font: 700 clamp(2rem, 5vw, 3.1rem)/1.08 Georgia, "Times New Roman", serif; margin: 0 0 .8rem; text-wrap: balance; }
h2 { font: 700 1.4rem/1.2 Georgia, "Times New Roman", serif; margin: 0; }
.summary { max-width: 38rem; margin: 0 0 1.6rem; font-size: 1.08rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1rem 1.5rem; margin: 0; padding-top: 1.4rem; border-top: 1px solid var(--line); }
.facts dt { font-size: .82rem; color: var(--soft); }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }

.reviews, .traffic { margin-top: 3rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1.25rem; margin-top: 1rem; }
.review { margin: 0; padding: 1.4rem 1.5rem; background: #fff; border: 1px solid var(--line); border-radius: 10px; display: flex; flex-direction: column; gap: .7rem; }
.review blockquote { margin: 0; font: 1.12rem/1.5 Georgia, "Times New Roman", serif; }
.review figcaption { color: var(--soft); font-size: .92rem; margin-top: auto; }
.stars { display: flex; gap: .2rem; margin: 0; }
.star { width: 1.6rem; height: 1.6rem; }
.stars.black { color: #000; }
.stars.red { color: var(--red); }
.star path { fill: currentColor; stroke: currentColor; stroke-width: 1.4; stroke-linejoin: round; }
.star.empty path { fill: none; }
.rating-error { margin: 0; color: #7a4b00; font-weight: 600; font-size: .95rem; }
.served { color: var(--soft); font-size: .92rem; margin: .9rem 0 0; }
code { font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.notice { margin: 1rem 0 0; padding: 1rem 1.2rem; background: #fff7e2; border: 1px solid #ecd394; border-radius: 10px; }

.traffic { padding-top: 2rem; border-top: 1px solid var(--line); }
.traffic-head { display: flex; flex-wrap: wrap; gap: .8rem 1.2rem; align-items: center; }
.traffic p { color: var(--soft); margin: .5rem 0 0; }
.dots { display: grid; grid-template-columns: repeat(auto-fill, minmax(1rem, 1fr)); gap: .3rem; list-style: none; margin: 1rem 0 0; padding: 0; }
.dots li { aspect-ratio: 1; max-width: 1.4rem; border-radius: 50%; border: 2px solid #8c9aa1; background: #fff; }
.dots .black { background: #000; border-color: #000; }
.dots .red { background: var(--red); border-color: var(--red); }
.dots .failed { border-radius: 3px; border-color: #b97700; background: #ffe2a8; }
.tally { font-variant-numeric: tabular-nums; }

@media (max-width: 40rem) {
  main.wide { padding-top: 1.75rem; }
  .book { grid-template-columns: 1fr; gap: 1.5rem; }
  .cover { max-width: 11rem; }
}
`;
