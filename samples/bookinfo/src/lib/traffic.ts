// The script of "Who answers?": asks for the reviews again and again and draws a dot an answer.
export const trafficScript = `
(() => {
  const section = document.getElementById('traffic');
  const toggle = document.getElementById('traffic-toggle');
  const dots = document.getElementById('traffic-dots');
  const tally = document.getElementById('traffic-tally');
  const shown = 60;
  const recent = [];
  let timer;
  section.hidden = false;

  const kindOf = (reviews) => {
    const rating = reviews[0]?.rating;
    if (rating === undefined) return 'plain';
    return rating.error !== undefined ? 'failed' : rating.color === 'red' ? 'red' : 'black';
  };
  const ask = async () => {
    let kind = 'failed';
    try {
      const answer = await fetch('/api/v1/products/0/reviews', { cache: 'no-store' });
      if (answer.ok) kind = kindOf((await answer.json()).reviews);
    } catch {}
    recent.push(kind);
    const dot = document.createElement('li');
    dot.className = kind;
    dots.append(dot);
    if (recent.length > shown) { recent.shift(); dots.firstChild.remove(); }
    const names = { plain: 'without stars (v1)', black: 'with black stars (v2)', red: 'with red stars (v3)', failed: 'failed' };
    tally.textContent = 'Of the last ' + recent.length + ': ' + Object.entries(names)
      .map(([key, name]) => [recent.filter((kind) => kind === key).length, name])
      .filter(([count]) => count > 0)
      .map(([count, name]) => count + ' ' + name)
      .join(', ');
  };
  toggle.addEventListener('click', () => {
    if (timer === undefined) {
      timer = setInterval(ask, 250);
      toggle.textContent = 'Stop asking';
    } else {
      clearInterval(timer);
      timer = undefined;
      toggle.textContent = 'Start asking';
    }
  });
})();
`;
