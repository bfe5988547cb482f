// Draws a chart when it comes into view. The picture in the page stays: it is what is printed,
// what a screen reader reads, and what shows where scripts or the file below are missing.
// A classic script, because modules do not load from file://.
(function () {
  "use strict";

  var root = document.documentElement;
  var library = null;

  function base() {
    return root.dataset.content_root || root.dataset.contentRoot || "./";
  }

  function load() {
    if (!library) {
      library = new Promise(function (resolve, reject) {
        var script = document.createElement("script");
        script.src = base() + "_static/vendor/plotly-basic.min.js";
        script.onload = function () { resolve(window.Plotly); };
        script.onerror = reject;
        document.head.appendChild(script);
      });
    }
    return library;
  }

  function isDark() {
    return root.dataset.theme === "dark";
  }

  function specification(figure) {
    var text = figure.querySelector("script.sos-plotly").textContent;
    var plain = JSON.parse(text);
    if (!isDark()) { return plain; }
    Object.keys(plain.dark || {}).forEach(function (light) {
      text = text.split(JSON.stringify(light)).join(JSON.stringify(plain.dark[light]));
    });
    return JSON.parse(text);
  }

  function shownPicture(figure) {
    return Array.from(figure.querySelectorAll("svg.sos-svg")).find(function (svg) {
      return svg.getBoundingClientRect().width > 1;
    });
  }

  // Where the style sheet shows the narrow picture, it is better than a squeezed chart.
  function isNarrow(figure) {
    var svg = figure.querySelector("svg.sos-svg-narrow");
    return Boolean(svg) && getComputedStyle(svg).display !== "none";
  }

  function draw(figure) {
    var canvas = figure.querySelector(".sos-canvas");
    var plot = figure.querySelector(".sos-plot");
    if (!canvas || !plot || isNarrow(figure)) { return Promise.resolve(); }
    return load().then(function (Plotly) {
      var spec = specification(figure);
      var picture = shownPicture(figure);
      var height = picture ? picture.getBoundingClientRect().height : plot.clientHeight;
      spec.layout.height = Math.round(height > 1 ? height : spec.height);
      spec.layout.width = canvas.clientWidth;
      spec.config.responsive = false;
      plot.hidden = false;
      figure.classList.add("sos-drawn");
      return Plotly.react(plot, spec.data, spec.layout, spec.config).then(function () {
        figure.dataset.drawn = isDark() ? "dark" : "light";
      });
    }).catch(function () {
      undraw(figure);  // the picture is still there
    });
  }

  function undraw(figure) {
    var plot = figure.querySelector(".sos-plot");
    if (plot) { plot.hidden = true; }
    figure.classList.remove("sos-drawn");
    delete figure.dataset.drawn;
  }

  var seen = new WeakSet();

  function again() {
    document.querySelectorAll("figure.sos-figure").forEach(function (figure) {
      if (!seen.has(figure)) { return; }
      undraw(figure);
      draw(figure);
    });
  }

  function start() {
    var figures = Array.from(document.querySelectorAll("figure.sos-figure")).filter(function (f) {
      return f.querySelector("script.sos-plotly");
    });
    if (!figures.length || !("IntersectionObserver" in window)) { return; }
    var width = 0;
    var watcher = new IntersectionObserver(function (entries) {
      // Asked here, where the page is laid out already; asking at the start would lay it out twice.
      width = width || window.innerWidth;
      entries.forEach(function (entry) {
        if (entry.isIntersecting) {
          watcher.unobserve(entry.target);
          seen.add(entry.target);
          draw(entry.target);
        }
      });
    }, { rootMargin: "200px" });
    figures.forEach(function (figure) { watcher.observe(figure); });
    new MutationObserver(again).observe(root, { attributeFilter: ["data-theme"] });
    var timer = 0;
    window.addEventListener("resize", function () {
      if (window.innerWidth === width) { return; }
      width = window.innerWidth;
      clearTimeout(timer);
      timer = setTimeout(again, 150);
    });
  }

  // Paper is light: colours for the dark would leave pale words on it.
  var paper = window.matchMedia("print");
  var before = "";

  function print(begins) {
    if (begins && isDark()) {
      before = root.dataset.theme;
      root.dataset.theme = "light";
    } else if (!begins && before) {
      root.dataset.theme = before;
      before = "";
    }
  }

  window.addEventListener("beforeprint", function () { print(true); });
  window.addEventListener("afterprint", function () { print(false); });
  paper.addEventListener("change", function () { print(paper.matches); });

  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", start);
  } else {
    start();
  }
})();
