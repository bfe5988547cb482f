/* The page on which readers choose. Reads grids that other scripts on the page hand over in
   window.sosGrids; asks for nothing else, and builds the page from text nodes alone. The state is
   in the address, so that a choice can be sent on and the back button works. */
(function () {
  "use strict";

  var root = document.getElementById("sos-explore");
  if (!root) return;

  var SVG = "http://www.w3.org/2000/svg";
  var MINUS = "\u2212";
  var grids = {};
  var state = { data: "public", outcome: "", way: {} };
  var waiting = null;
  var parts = {};

  // --- small helpers -----------------------------------------------------------------------

  function make(name, attributes, children) {
    var element = document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) {
      element.setAttribute(key, attributes[key]);
    });
    (children || []).forEach(function (child) {
      element.append(child);
    });
    return element;
  }

  function draw(name, attributes, text) {
    var element = document.createElementNS(SVG, name);
    Object.keys(attributes).forEach(function (key) {
      element.setAttribute(key, attributes[key]);
    });
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function capital(text) {
    return text.charAt(0).toUpperCase() + text.slice(1);
  }

  /* A whole number that stands for value × 10^decimals, as the report writes numbers. */
  function number(scaled, decimals, signed) {
    var digits = String(Math.abs(scaled)).padStart(decimals + 1, "0");
    var whole = digits.slice(0, digits.length - decimals).replace(/\B(?=(\d{3})+$)/g, ",");
    var text = decimals ? whole + "." + digits.slice(-decimals) : whole;
    if (scaled < 0) return MINUS + text;
    return signed && scaled > 0 ? "+" + text : text;
  }

  function probability(scaled) {
    return scaled < 1 ? "<0.001" : number(scaled, 3);
  }

  function joined(words) {
    if (words.length < 2) return words.join("");
    return words.slice(0, -1).join(", ") + " and " + words[words.length - 1];
  }

  // --- the grid ----------------------------------------------------------------------------

  function gridNow() {
    return grids[state.data];
  }

  function outcomeNow() {
    var all = gridNow().outcomes;
    return all.find(function (one) { return one.id === state.outcome; }) || all[0];
  }

  function placeOf(grid, way) {
    return grid.choices.reduce(function (at, choice) {
      var index = choice.answers.findIndex(function (a) { return a.id === way[choice.id]; });
      return at * choice.answers.length + index;
    }, 0);
  }

  function wayAt(grid, place) {
    var way = {};
    grid.choices.slice().reverse().forEach(function (choice) {
      var size = choice.answers.length;
      way[choice.id] = choice.answers[place % size].id;
      place = Math.floor(place / size);
    });
    return way;
  }

  function run(outcome, place) {
    return outcome.columns.value[place] !== null && outcome.columns.low[place] !== null &&
      outcome.columns.high[place] !== null;
  }

  /* Every way that was run, from the lowest estimate to the highest. */
  function curveOf(outcome) {
    if (!outcome.curve) {
      outcome.curve = outcome.columns.value
        .map(function (value, place) { return place; })
        .filter(function (place) { return run(outcome, place); })
        .sort(function (a, b) {
          return outcome.columns.value[a] - outcome.columns.value[b] || a - b;
        });
    }
    return outcome.curve;
  }

  function startWay(grid) {
    var way = {};
    grid.choices.forEach(function (choice) { way[choice.id] = choice.answers[0].id; });
    return Object.assign(way, grid.named[0].way);
  }

  /* Choices that differ from a way named in advance; a wave is not one of them. */
  function departures(grid, named, way) {
    return grid.choices.filter(function (choice) {
      return choice.id in named.way && named.way[choice.id] !== way[choice.id];
    });
  }

  function tells(outcome, place) {
    var c = outcome.columns;
    if (c.p[place] === null) return false;
    return c.p[place] <= 50 && (!c.p2 || c.p2[place] === null || c.p2[place] <= 50);
  }

  // --- the address -------------------------------------------------------------------------

  function address() {
    var pairs = [["data", state.data], ["outcome", state.outcome]];
    gridNow().choices.forEach(function (choice) {
      pairs.push([choice.id, state.way[choice.id]]);
    });
    return "#" + new URLSearchParams(pairs).toString();
  }

  /* Takes what is known from the address; anything else keeps its main answer. */
  function readAddress() {
    if (window.location.hash.indexOf("=") < 0 && window.location.hash.length > 1) return false;
    var given = new URLSearchParams(window.location.hash.slice(1));
    var data = given.get("data") === "example" && root.dataset.example ? "example" : "public";
    if (!grids[data]) {
      load(data);
      return false;
    }
    state.data = data;
    var grid = gridNow();
    var wanted = given.get("outcome");
    var known = grid.outcomes.find(function (one) { return one.id === wanted; });
    state.outcome = (known || grid.outcomes[0]).id;
    state.way = startWay(grid);
    grid.choices.forEach(function (choice) {
      var answer = given.get(choice.id);
      if (choice.answers.some(function (a) { return a.id === answer; })) {
        state.way[choice.id] = answer;
      }
    });
    return true;
  }

  function go() {
    var wanted = address();
    if (wanted === window.location.hash) show();
    else window.location.hash = wanted; // the browser tells of the change, and `show` runs
  }

  function takeGrids() {
    (window.sosGrids || []).forEach(function (grid) { grids[grid.id] = grid; });
  }

  /* The second source comes only when asked for: as a script, which a page from a file may load. */
  function load(data) {
    if (waiting) return;
    parts.status.textContent = "Loading the numbers.";
    waiting = make("script", { src: root.dataset[data] });
    waiting.onload = function () {
      waiting = null;
      takeGrids();
      if (readAddress()) show();
    };
    waiting.onerror = function () {
      waiting = null;
      parts.status.textContent = "The file with these numbers could not be read: " +
        root.dataset[data] + ". It belongs beside this page.";
    };
    document.head.append(waiting);
  }

  // --- the form ----------------------------------------------------------------------------

  function select(id, label, answers, value, possible, changed) {
    var box = make("select", { id: "sos-explore-" + id, name: id });
    answers.forEach(function (answer) {
      var option = make("option", { value: answer.id }, [answer.label]);
      if (possible && !possible(answer.id) && answer.id !== value) {
        option.disabled = true;
        option.append(" (not with the other choices)");
      }
      if (answer.id === value) option.selected = true;
      box.append(option);
    });
    box.addEventListener("change", function () { changed(box.value); });
    return make("div", { class: "sos-explore-field" }, [
      make("label", { for: box.id }, [label]), box,
    ]);
  }

  function source(id, label) {
    var box = make("input", { type: "radio", name: "data", value: id, id: "sos-explore-" + id });
    box.checked = state.data === id;
    box.addEventListener("change", function () {
      if (!box.checked) return;
      window.location.hash = new URLSearchParams([["data", id]]).toString();
    });
    return make("div", { class: "sos-explore-radio" }, [
      box, make("label", { for: box.id }, [label]),
    ]);
  }

  function fillForm() {
    var grid = gridNow();
    var outcome = outcomeNow();
    var held = document.activeElement && parts.form.contains(document.activeElement)
      ? document.activeElement.id : "";
    var choose = make("fieldset", {}, [make("legend", {}, ["What to compare"])]);
    choose.append(select("outcome", "Outcome", grid.outcomes, outcome.id, null, function (value) {
      state.outcome = value;
      go();
    }));
    grid.choices.forEach(function (choice) {
      choose.append(select(choice.id, choice.label, choice.answers, state.way[choice.id],
        function (answer) {
          var other = Object.assign({}, state.way);
          other[choice.id] = answer;
          return run(outcome, placeOf(grid, other));
        },
        function (value) {
          state.way[choice.id] = value;
          go();
        }));
    });
    var buttons = make("p", { class: "sos-explore-buttons" });
    grid.named.forEach(function (named) {
      var button = make("button", { type: "button", id: "sos-explore-to-" + named.id },
        ["Set to " + named.label]);
      button.addEventListener("click", function () {
        Object.assign(state.way, named.way);
        go();
      });
      buttons.append(button);
    });
    var which = make("fieldset", {}, [make("legend", {}, ["Which data"]),
      source("public", "Public statistics (real)")]);
    if (root.dataset.example) which.append(source("example", root.dataset.exampleLabel));
    parts.form.replaceChildren(which, choose, buttons);
    // The controls were made anew: the keyboard stays where it was.
    var again = held && document.getElementById(held);
    if (again) again.focus({ preventScroll: true });
  }

  // --- the words ---------------------------------------------------------------------------

  function estimateText(outcome, place) {
    var c = outcome.columns, d = outcome.decimals;
    var side = c.value[place] > 0 ? " higher in pilots than in the others"
      : c.value[place] < 0 ? " lower in pilots than in the others" : ", no difference in size";
    var p = c.p[place] === null ? "" : c.p2
      ? "; p = " + probability(c.p[place]) + " by bootstrap, " + probability(c.p2[place]) +
        " by permutation"
      : "; p = " + probability(c.p[place]) + " by permutation";
    return number(Math.abs(c.value[place]), d) + " " + outcome.unit + side +
      " (95% interval " + number(c.low[place], d) + " to " + number(c.high[place], d) +
      p.replace(/= </g, "<").replace(/, </g, ", <") + ").";
  }

  function readingText(outcome, place) {
    var c = outcome.columns;
    var mid = Math.round(outcome.mid * Math.pow(10, outcome.decimals));
    var matters = number(mid, outcome.decimals) + " " + outcome.unit;
    var low = c.low[place], high = c.high[place];
    var inside = low > -mid && high < mid;
    if (inside) {
      return "The whole interval lies within " + matters +
        " of zero, the smallest difference taken to matter. Taken alone, this way says: little " +
        "or no difference.";
    }
    if (low <= 0 && high >= 0) {
      return "The interval holds zero, and also differences of " + matters +
        " or more, which would matter. Taken alone, this way is too imprecise to tell.";
    }
    if (!tells(outcome, place)) {
      return "The interval leaves out zero, but the two methods do not agree. This way cannot " +
        "tell.";
    }
    return "The interval leaves out zero. One way alone is no finding: see where it stands " +
      "among all ways below.";
  }

  function pathText(grid, way) {
    var best = null;
    var on = grid.named.find(function (named) {
      var off = departures(grid, named, way);
      if (!best || off.length < best.off.length) best = { named: named, off: off };
      return !off.length;
    });
    if (on) {
      return { on: true, text: "On " + grid.path + ": this is " + on.label + "." };
    }
    return {
      on: false,
      text: "Off " + grid.path + ": this differs from " + best.named.label + " in " +
        joined(best.off.map(function (c) { return "\u2018" + c.label.toLowerCase() + "\u2019"; })) +
        ". The report concludes nothing from it. Use it to see how much the choice moves the " +
        "result.",
    };
  }

  function standingText(outcome, place) {
    var curve = curveOf(outcome);
    var below = curve.filter(function (p) { return outcome.columns.value[p] < 0; }).length;
    var told = curve.filter(function (p) { return tells(outcome, p); }).length;
    return "Place " + (curve.indexOf(place) + 1) + " of " + curve.length.toLocaleString("en-GB") +
      " ways, counted from the lowest estimate. In " + below.toLocaleString("en-GB") +
      " the estimate is below zero; " + told.toLocaleString("en-GB") +
      " tell a difference at the 5% level" + (outcome.columns.p2 ? " by both methods." : ".");
  }

  function behindText(outcome, place) {
    var c = outcome.columns;
    if (!c.authorities) return "";
    return c.pilots_count[place] + " pilots among " + c.authorities[place] +
      " authorities, years ending March " + c.first[place] + " to " + c.last[place] + ".";
  }

  // --- the chart ---------------------------------------------------------------------------

  function ticks(low, high, most) {
    var raw = (high - low) / most;
    var power = Math.pow(10, Math.floor(Math.log10(raw)));
    var step = [1, 2, 5, 10].find(function (f) { return f * power >= raw; }) * power;
    var found = [];
    for (var k = Math.ceil(low / step); k * step <= high; k += 1) found.push(k * step);
    return { at: found, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  function chart(grid, outcome, place) {
    var curve = curveOf(outcome), c = outcome.columns;
    var scale = Math.pow(10, outcome.decimals);
    var narrow = parts.canvas.clientWidth < 520;
    var width = narrow ? 340 : 720, height = narrow ? 300 : 330;
    var left = 52, right = 12, top = 34, bottom = 40;
    // A few very wide intervals would flatten all others: these leave the frame, and the key says so.
    var edge = Math.floor(curve.length * 0.03);
    function ends(column, from) {
      var sorted = curve.map(function (p) { return column[p]; }).sort(function (a, b) { return a - b; });
      return sorted[from < 0 ? sorted.length - 1 - edge : edge];
    }
    var kept = curve.map(function (p) { return c.value[p]; }).concat(0, c.low[place], c.high[place]);
    var low = Math.min.apply(null, kept.concat(ends(c.low, 1))) / scale;
    var high = Math.max.apply(null, kept.concat(ends(c.high, -1))) / scale;
    var pad = (high - low) * 0.04 || 1;
    low -= pad;
    high += pad;
    function x(rank) {
      return left + (rank + 0.5) / curve.length * (width - left - right);
    }
    function y(value) {
      value = Math.max(low, Math.min(high, value));
      return top + (high - value) / (high - low) * (height - top - bottom);
    }
    function at(rank, value) {
      return x(rank).toFixed(1) + " " + y(value / scale).toFixed(1);
    }
    var svg = draw("svg", {
      viewBox: "0 0 " + width + " " + height, role: "img",
      "aria-labelledby": "sos-explore-svg-title sos-explore-svg-desc", class: "sos-explore-svg",
    });
    var made_up = grid.origin === "synthetic";
    svg.append(
      draw("title", { id: "sos-explore-svg-title" },
        (made_up ? "Made-up data. " : "") + "All ways for: " + outcome.label),
      draw("desc", { id: "sos-explore-svg-desc" },
        "Estimates from the lowest to the highest, each with its interval. " +
        "The chosen way: " + estimateText(outcome, place) + " " + standingText(outcome, place))
    );
    var mid = Math.min(outcome.mid, high), midLow = Math.max(-outcome.mid, low);
    svg.append(draw("rect", {
      class: "sos-explore-mid", x: left, width: width - left - right,
      y: y(mid).toFixed(1), height: (y(midLow) - y(mid)).toFixed(1),
    }));
    var scaleTicks = ticks(low, high, 6);
    scaleTicks.at.forEach(function (value) {
      svg.append(
        draw("line", { class: Math.abs(value) < 1e-9 ? "sos-explore-zero" : "sos-explore-grid",
          x1: left, x2: width - right, y1: y(value).toFixed(1), y2: y(value).toFixed(1) }),
        draw("text", { class: "sos-explore-tick", x: left - 6, y: (y(value) + 4).toFixed(1),
          "text-anchor": "end" },
          number(Math.round(value * Math.pow(10, scaleTicks.decimals)), scaleTicks.decimals, true))
      );
    });
    // One path for all strokes: a thousand elements would be slow on a phone.
    svg.append(
      draw("path", { class: "sos-explore-intervals", d: curve.map(function (p, rank) {
        return "M" + at(rank, c.low[p]) + "L" + at(rank, c.high[p]);
      }).join("") }),
      draw("path", { class: "sos-explore-points", d: curve.map(function (p, rank) {
        return "M" + at(rank, c.value[p]) + "h0.01";
      }).join("") })
    );
    grid.named.forEach(function (named) {
      var other = placeOf(grid, Object.assign({}, state.way, named.way));
      var rank = curve.indexOf(other);
      if (rank < 0 || other === place) return;
      var px = x(rank), py = y(c.value[other] / scale);
      svg.append(draw("path", { class: "sos-explore-named sos-explore-named-" + named.id,
        d: "M" + px + " " + (py - 7) + "l7 7l-7 7l-7 -7z" }));
    });
    var mine = curve.indexOf(place);
    svg.append(
      draw("line", { class: "sos-explore-mine-line", x1: x(mine), x2: x(mine),
        y1: y(c.low[place] / scale).toFixed(1), y2: y(c.high[place] / scale).toFixed(1) }),
      draw("circle", { class: "sos-explore-mine", cx: x(mine).toFixed(1),
        cy: y(c.value[place] / scale).toFixed(1), r: 6.5 }),
      draw("text", { class: "sos-explore-label", y: 16,
        x: Math.min(Math.max(x(mine), left + 60), width - right - 60).toFixed(1),
        "text-anchor": "middle" },
        "Your choice " + number(c.value[place], outcome.decimals, true)),
      draw("line", { class: "sos-explore-lead", x1: x(mine).toFixed(1), x2: x(mine).toFixed(1),
        y1: 21, y2: y(c.high[place] / scale).toFixed(1) }),
      draw("text", { class: "sos-explore-tick", x: (left + width - right) / 2, y: height - 12,
        "text-anchor": "middle" }, narrow ? "Ways, lowest estimate first"
        : "All ways, from the lowest estimate to the highest"),
      draw("text", { class: "sos-explore-tick", x: left - 44, y: 16 }, "Higher")
    );
    svg.append(draw("text", { class: "sos-explore-tick", x: left - 44, y: height - 24 }, "Lower"));
    if (made_up) {
      svg.append(draw("text", { class: "sos-explore-watermark", x: width - right - 6,
        y: height - bottom - 8, "text-anchor": "end" }, "Made-up data"));
    }
    return svg;
  }

  // --- one thing changed -------------------------------------------------------------------

  function changes(grid, outcome) {
    var c = outcome.columns, d = outcome.decimals;
    var heads = ["Choice", "Answer", "Difference", "95% interval", "p"];
    var body = make("tbody");
    grid.choices.forEach(function (choice) {
      choice.answers.forEach(function (answer, k) {
        var other = Object.assign({}, state.way);
        other[choice.id] = answer.id;
        var place = placeOf(grid, other);
        var chosen = state.way[choice.id] === answer.id;
        var there = run(outcome, place);
        var row = make("tr", chosen ? { class: "sos-explore-chosen" } : {}, [
          make("th", k ? { scope: "row", class: "sos-again" } : { scope: "row" }, [choice.label]),
          make("td", { "data-label": heads[1] }, [answer.label + (chosen ? " (chosen)" : "")]),
          make("td", { class: "sos-num", "data-label": heads[2] },
            [there ? number(c.value[place], d, true) : "not run"]),
          make("td", { class: "sos-num", "data-label": heads[3] }, [there
            ? number(c.low[place], d) + " to " + number(c.high[place], d) : "not run"]),
          make("td", { class: "sos-num", "data-label": heads[4] },
            [there && c.p[place] !== null ? probability(c.p[place]) : "not run"]),
        ]);
        row.dataset.place = place;
        body.append(row);
      });
    });
    var headings = heads.map(function (text, i) {
      return make("th", i > 1 ? { scope: "col", class: "sos-num" } : { scope: "col" }, [text]);
    });
    return make("table", { class: "sos-stack sos-pairs" }, [
      make("caption", { id: "sos-explore-caption" }, [
        (grid.origin === "synthetic" ? "Made-up data. " : "") +
        "One choice changed at a time, the others as you chose: " + outcome.label + ", " +
        outcome.unit]),
      make("thead", {}, [make("tr", {}, headings)]), body,
    ]);
  }

  // --- everything --------------------------------------------------------------------------

  function paragraph(kind, text) {
    parts[kind].textContent = text;
    parts[kind].hidden = !text;
  }

  function show() {
    var grid = gridNow();
    var outcome = outcomeNow();
    var place = placeOf(grid, state.way);
    root.dataset.origin = grid.origin;
    fillForm();
    parts.origin.replaceChildren(
      make("strong", {}, [root.dataset["title" + capital(state.data)]]),
      " " + root.dataset["words" + capital(state.data)]);
    var there = run(outcome, place);
    parts.shown.hidden = !there;
    parts.shown.dataset.place = place;
    parts.shown.dataset.outcome = outcome.id;
    if (!there) {
      parts.status.textContent = "This combination was not run: these years, authorities or " +
        "figures do not go together. Change one choice.";
      return;
    }
    parts.status.textContent = outcome.label + ": " + estimateText(outcome, place);
    var path = pathText(grid, state.way);
    parts.path.className = "sos-explore-path " + (path.on ? "sos-explore-on" : "sos-explore-off");
    paragraph("path", path.text);
    paragraph("reading", readingText(outcome, place));
    paragraph("behind", behindText(outcome, place));
    paragraph("standing", standingText(outcome, place));
    var concluded = outcome.concluded && outcome.concluded[state.way.wave];
    paragraph("concluded",
      concluded ? "What the report concludes, from its main way: " + concluded : "");
    var truth = outcome.truth && outcome.truth[state.way.definition];
    paragraph("truth", truth
      ? "The true effect built into these made-up records, by this definition: " + truth + "." : "");
    parts.canvas.replaceChildren(chart(grid, outcome, place));
    parts.table.replaceChildren(changes(grid, outcome));
    document.dispatchEvent(new CustomEvent("sos-explore-shown"));
  }

  function build() {
    parts.origin = make("p", { class: "sos-explore-origin" });
    parts.form = make("form", { class: "sos-explore-form", "aria-label": "Choices" });
    parts.form.addEventListener("submit", function (event) { event.preventDefault(); });
    parts.status = make("p", { class: "sos-explore-status", role: "status", "aria-live": "polite" });
    ["path", "reading", "behind", "standing", "concluded", "truth"].forEach(function (kind) {
      parts[kind] = make("p", { class: "sos-explore-" + kind });
    });
    parts.canvas = make("div", { class: "sos-explore-canvas" });
    parts.table = make("div", { class: "sos-table", role: "region", tabindex: "0",
      "aria-labelledby": "sos-explore-caption" });
    parts.key = make("p", { class: "sos-explore-key" }, [
      "Ring: your choice. Diamond: a way on the report's path. Grey strokes: 95% intervals of all " +
      "ways; a few very long ones are cut at the frame. Shaded band: differences too small to " +
      "matter.",
    ]);
    parts.shown = make("div", { class: "sos-explore-shown" }, [
      parts.path, parts.reading, parts.truth, parts.concluded, parts.behind,
      parts.canvas, parts.key, parts.standing, parts.table,
    ]);
    root.append(parts.origin, parts.form, parts.status, parts.shown);
    root.hidden = false;
  }

  build();
  takeGrids();
  if (!grids.public) {
    parts.status.textContent = "The file with these numbers could not be read.";
    return;
  }
  state.way = startWay(grids.public);
  state.outcome = grids.public.outcomes[0].id;
  window.addEventListener("hashchange", function () {
    if (readAddress()) show();
  });
  var drawnAt = 0;
  window.addEventListener("resize", function () {
    if (parts.shown.hidden || drawnAt === parts.canvas.clientWidth) return;
    drawnAt = parts.canvas.clientWidth;
    var outcome = outcomeNow(), place = placeOf(gridNow(), state.way);
    parts.canvas.replaceChildren(chart(gridNow(), outcome, place));
  });
  if (readAddress()) show();
  else if (!waiting) show();
})();
