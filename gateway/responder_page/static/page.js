/* Everything works without this. It asks every ten seconds whether the page would look different now, and loads it anew only then:
   a page that reloads by itself in a lift would lose the address. Written for browsers of 2014. */
(function () {
  'use strict';
  var state = document.body.getAttribute('data-state');
  var offline = document.getElementById('offline');
  if (!state || !window.XMLHttpRequest) return;
  function isWriting() {
    var fields = document.getElementsByTagName('textarea');
    for (var i = 0; i < fields.length; i++) if (fields[i].value) return true;
    return false;
  }
  function look() {
    if (document.hidden) return;
    var request = new XMLHttpRequest();
    request.open('HEAD', location.href);
    request.timeout = 8000;
    request.onload = function () {
      var now = request.getResponseHeader('X-State');
      if (now !== null) offline.hidden = true;
      if (now !== null && now !== state && !isWriting()) location.reload();
    };
    request.onerror = request.ontimeout = function () { offline.hidden = false; };
    request.send();
  }
  setInterval(look, 10000);
  document.addEventListener('visibilitychange', look);
})();
